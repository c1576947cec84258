/**
 * A small platform app that signs people in through the broker. It trusts tokens after verifying them with plain jose
 * and keeps its own sessions, in memory. `/me.json`, `/refresh` and `/sign-out` answer scripts that accept JSON.
 */
import { Router } from '@koa/router'
import type { JWTPayload } from 'jose'
import Koa from 'koa'
import { AppError } from '../core/errors.ts'
import {
  type AppSession,
  type AppSessions,
  addDeparture,
  createAppSessions,
  takeDeparture,
} from './app-sessions.ts'
import { PAGE_HEADERS, signedInPage, signedOutPage } from './pages.tsx'
import { listenLocally } from './peers.ts'
import {
  createRelyingParty,
  type DemoClient,
  type RelyingParty,
  type SignedIn,
  type Tokens,
} from './relying-party.ts'

export type { DemoClient } from './relying-party.ts'

export type DemoAppOptions = {
  /** Default: any free port. */
  port?: number
  /** The address the world sees, where something terminates TLS in front. Default: `http://localhost:<port>`. */
  baseUrl?: string
  /** What the pages call the app. */
  name?: string
  /** Can follow later, since registering the client needs the redirect URI. */
  client?: DemoClient
}

export type DemoApp = {
  url: string
  redirectUri: string
  setClient: (client: DemoClient) => void
  /** The tokens of the newest sign-in or refresh, for a script in the same process; never shown over HTTP. */
  lastTokens: () => Tokens | undefined
  close: () => Promise<void>
}

const HINTS = ['login_hint', 'org', 'prompt']

const single = (query: Koa.Context['query']): Record<string, string> =>
  Object.fromEntries(
    Object.entries(query).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )

const shown = (value: unknown): string =>
  Array.isArray(value) ? value.join(', ') || 'none' : value === undefined ? '–' : String(value)

const factsOf = ({ id, access }: SignedIn): [string, string][] => [
  ['Name', shown(id.name)],
  ['Email', shown(id.email)],
  ['Organisation', shown(access.org_id)],
  ['Roles', shown(access.roles)],
  ['Session', shown(access.sid)],
  ['Signed in by', shown(access.amr)],
  ['Token until', new Date((access.exp ?? 0) * 1000).toISOString()],
]

const meOf = (id: JWTPayload, access: JWTPayload) => ({
  signedIn: true,
  sub: access.sub,
  name: id.name,
  email: id.email,
  orgId: access.org_id,
  roles: access.roles,
  sessionId: access.sid,
  claims: access,
})

const wantsJson = (ctx: Koa.Context): boolean => ctx.accepts('html', 'json') === 'json'

const failureOf = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  throw error
}

/** A browser is told by the next page, a script by JSON. */
const answer = (ctx: Koa.Context, error?: AppError, session?: AppSession): void => {
  if (wantsJson(ctx)) {
    ctx.status = error ? 401 : 200
    ctx.body = error ? { ok: false, error: error.code, message: error.message } : { ok: true }
    return
  }
  if (error && session) session.fault = error
  ctx.status = 303
  ctx.redirect('/')
}

type Deps = {
  name: string
  sessions: AppSessions
  /** @throws AppError `unavailable`: no client is set */
  party: () => RelyingParty
  keep: (session: AppSession, signedIn: SignedIn) => void
}

const mountPages = (router: Router, { name, sessions, party }: Deps): void => {
  const look = { kind: 'app', eyebrow: name } as const

  router.get('/', (ctx) => {
    const session = sessions.find(ctx)
    const fault = session?.fault?.message
    if (session) delete session.fault
    ctx.set(PAGE_HEADERS)
    ctx.body = session?.signedIn
      ? signedInPage({ ...look, title: 'You are signed in' }, { facts: factsOf(session.signedIn), fault })
      : signedOutPage({ ...look, title: 'Nobody is signed in' }, fault)
  })

  router.get('/me.json', async (ctx) => {
    const signedIn = sessions.find(ctx)?.signedIn
    ctx.set('cache-control', 'no-store')
    if (!signedIn) {
      ctx.status = 401
      ctx.body = { signedIn: false, error: 'nobody' }
      return
    }
    try {
      // As a service would at every request: from the token, not from memory.
      ctx.body = meOf(signedIn.id, await party().verifyAccessToken(signedIn.tokens.accessToken))
    } catch (error) {
      ctx.status = 401
      ctx.body = { signedIn: false, error: failureOf(error).code }
    }
  })
}

const mountSignIn = (router: Router, { sessions, party, keep }: Deps): void => {
  router.get('/sign-in', async (ctx) => {
    const query = single(ctx.query)
    const hints = Object.fromEntries(Object.entries(query).filter(([name]) => HINTS.includes(name)))
    const session = sessions.find(ctx) ?? sessions.start(ctx)
    try {
      const { to, departure } = await party().begin(hints)
      addDeparture(session, departure)
      ctx.status = 303
      ctx.redirect(to)
    } catch (error) {
      answer(ctx, failureOf(error), session)
    }
  })

  router.get('/callback', async (ctx) => {
    const query = single(ctx.query)
    const session = sessions.find(ctx) ?? sessions.start(ctx)
    const departure = takeDeparture(session, query.state)
    if (!departure) {
      // Login CSRF: an answer that this browser did not ask for signs nobody in.
      const sentence = 'This sign-in was not begun in this browser.'
      return answer(ctx, new AppError('forbidden', 'state_mismatch', sentence), session)
    }
    try {
      const signedIn = await party().finish(query, departure)
      keep(sessions.start(ctx, { departures: session.departures }), signedIn)
      answer(ctx)
    } catch (error) {
      answer(ctx, failureOf(error), session)
    }
  })
}

const mountSession = (router: Router, { sessions, party, keep }: Deps): void => {
  router.post('/refresh', async (ctx) => {
    const session = sessions.find(ctx)
    if (!session?.signedIn) {
      return answer(ctx, new AppError('unauthenticated', 'nobody', 'Nobody is signed in.'), session)
    }
    try {
      keep(session, await party().refresh(session.signedIn))
      answer(ctx)
    } catch (error) {
      const failure = failureOf(error)
      // The broker's word that it is over ends the session here too.
      if (failure.code === 'invalid_grant') delete session.signedIn
      answer(ctx, failure, session)
    }
  })

  router.post('/sign-out', async (ctx) => {
    const session = sessions.find(ctx)
    const idToken = session?.signedIn?.tokens.idToken
    if (session) delete session.signedIn
    const to = idToken === undefined || wantsJson(ctx) ? null : await party().endSessionUrl(idToken)
    if (to === null) return answer(ctx)
    ctx.status = 303
    ctx.redirect(to)
  })
}

/** @throws AppError `conflict`: the port is taken */
export const startDemoApp = async (options: DemoAppOptions = {}): Promise<DemoApp> => {
  const server = await listenLocally(options.port)
  const url = options.baseUrl ?? server.origin
  const redirectUri = `${url}/callback`
  let relyingParty: RelyingParty | undefined
  let lastTokens: Tokens | undefined
  const setClient = (client: DemoClient): void => {
    relyingParty = createRelyingParty(client, redirectUri)
  }
  if (options.client) setClient(options.client)

  const deps: Deps = {
    name: options.name ?? 'Demo app',
    // Cookies know no ports: two apps on localhost must not overwrite each other's.
    sessions: createAppSessions({ cookieName: `demo_app_${server.port}`, secure: url.startsWith('https:') }),
    party: () => {
      if (relyingParty) return relyingParty
      throw new AppError(
        'unavailable',
        'demo_app_unregistered',
        'This app is not registered at a broker yet.',
      )
    },
    keep: (session, signedIn) => {
      session.signedIn = signedIn
      lastTokens = signedIn.tokens
    },
  }
  const router = new Router()
  mountPages(router, deps)
  mountSignIn(router, deps)
  mountSession(router, deps)
  const app = new Koa()
  app.use(router.routes())
  server.handle(app.callback())

  return { url, redirectUri, setClient, lastTokens: () => lastTokens, close: server.close }
}
