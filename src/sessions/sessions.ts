/**
 * Browser sessions. Owns `sessions`. Invariants: the cookie is a credential of which only the hash is stored; a
 * session belongs to one user of one organisation and never changes hands; what ends one is `tokens/end-session`,
 * which ends everything that hangs on it too.
 */
import type { Clock } from '../core/clock.ts'
import { addSeconds } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { mintCredential, parseCredential } from '../crypto/credentials.ts'
import { equalBytes } from '../crypto/hash.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { NewSession, Session } from './session.ts'
import * as repo from './sessions.repo.ts'

/** No session outlives a working day, whatever happens at the IdP. */
const SESSION_LIFETIME_SECONDS = 12 * 3600

export type Sessions = ReturnType<typeof createSessions>

export const createSessions = ({ clock }: { clock: Clock }) => {
  /** Always a new ID and secret: a session that existed before the login is never carried into it. */
  const create = async (tx: OrgTx, session: NewSession): Promise<{ session: Session; cookie: string }> => {
    const { id, token, hash } = mintCredential('session', tx.orgId)
    const now = clock.now()
    const made: Session = {
      id,
      userId: session.userId,
      connectionId: session.connectionId,
      acr: session.acr ?? null,
      amr: [...session.amr],
      authTime: session.authTime,
      createdAt: now,
      expiresAt: addSeconds(now, SESSION_LIFETIME_SECONDS),
    }
    await repo.insert(tx, { ...made, hash, idpSession: session.idpSession ?? null })
    return { session: made, cookie: token }
  }

  /** The live session of a cookie, with the context of its organisation; null where there is none. */
  const resume = async (ctx: Ctx, cookie: string): Promise<{ ctx: OrgCtx; session: Session } | null> => {
    const credential = parseCredential('session', cookie)
    if (!credential || credential.orgId === null) return null
    const orgCtx = forOrg(ctx, credential.orgId)
    const found = await inTx(orgCtx, (tx) => repo.findLive(tx, credential.id, clock.now()))
    if (!found || !equalBytes(credential.hash, found.hash)) return null
    const { hash: _, ...session } = found
    return { ctx: { ...orgCtx, actor: { type: 'user', id: session.userId } }, session }
  }

  /** The live session of that ID, locked against being ended while the transaction lasts. */
  const holdLive = (tx: OrgTx, id: string): Promise<Session | undefined> => repo.holdLive(tx, id, clock.now())

  /** The live session of that ID. */
  const findLive = async (tx: OrgTx, id: string): Promise<Session | undefined> => {
    const found = await repo.findLive(tx, id, clock.now())
    if (!found) return undefined
    const { hash: _, ...session } = found
    return session
  }

  /** Whether the person signed in at most `seconds` ago. */
  const isRecent = (session: Session, seconds: number): boolean =>
    session.authTime >= addSeconds(clock.now(), -seconds)

  return {
    create,
    resume,
    isRecent,
    findLive,
    holdLive,
    endForUser: repo.endForUser,
    endOne: repo.endOne,
    listLive: repo.listLive,
  }
}
