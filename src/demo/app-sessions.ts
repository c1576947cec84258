import { randomBytes } from 'node:crypto'
import type { Context } from 'koa'
import type { AppError } from '../core/errors.ts'
import type { Departure, SignedIn } from './relying-party.ts'

/** One browser: who is signed in, where it was sent (by `state`), and what to say on the next page. */
export type AppSession = { departures: Map<string, Departure>; signedIn?: SignedIn; fault?: AppError }

const MAX_DEPARTURES = 10

/** The demo app's own sessions, in memory, behind one cookie. */
export const createAppSessions = ({ cookieName, secure }: { cookieName: string; secure: boolean }) => {
  const sessions = new Map<string, AppSession>()
  const idOf = (ctx: Context): string => ctx.cookies.get(cookieName) ?? ''

  /** Under a new ID, so that one planted before is worth nothing; the browser's earlier session is gone. */
  const start = (ctx: Context, session: AppSession = { departures: new Map() }): AppSession => {
    sessions.delete(idOf(ctx))
    const id = randomBytes(32).toString('base64url')
    sessions.set(id, session)
    // Written by hand: the cookie library refuses Secure where it sees the plain hop behind a TLS terminator.
    ctx.append('set-cookie', `${cookieName}=${id}; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`)
    return session
  }

  return { start, find: (ctx: Context): AppSession | undefined => sessions.get(idOf(ctx)) }
}

export type AppSessions = ReturnType<typeof createAppSessions>

/** Remembers a sign-in that was sent off; the oldest of many abandoned ones is forgotten. */
export const addDeparture = ({ departures }: AppSession, departure: Departure): void => {
  const [oldest] = departures.keys()
  if (oldest !== undefined && departures.size >= MAX_DEPARTURES) departures.delete(oldest)
  departures.set(departure.state, departure)
}

/** Each departure returns once. */
export const takeDeparture = (
  session: AppSession | undefined,
  state: string | undefined,
): Departure | undefined => {
  const departure = session?.departures.get(state ?? '')
  if (departure) session?.departures.delete(departure.state)
  return departure
}
