import type { Clock } from '../core/clock.ts'
import type { OrgTx } from '../core/ctx.ts'
import type { Sessions } from '../sessions/sessions.ts'
import * as codes from './codes.repo.ts'
import * as families from './refresh.repo.ts'

export type EndReason =
  | 'signed_out'
  | 'deactivated'
  | 'deleted'
  | 'refresh_token_reused'
  | 'code_reused'
  | 'administrator'

export type EndSessions = ReturnType<typeof createEndSessions>

/**
 * The only way a session ends: its refresh families and unredeemed codes end with it, in the caller's transaction.
 * Order of locks everywhere: user, session, family, token; so that an ending and a minting meet, and one waits.
 */
export const createEndSessions = ({ sessions, clock }: { sessions: Sessions; clock: Clock }) => {
  /** Returns how many sessions this ended. The caller holds the user's row. */
  const ofUser = async (tx: OrgTx, userId: string, reason: EndReason): Promise<number> => {
    const now = clock.now()
    const ended = await sessions.endForUser(tx, userId, reason, now)
    await families.endForUser(tx, userId, reason, now)
    await codes.consumeForUser(tx, userId, now)
    return ended.length
  }

  /** False where the session was over already. */
  const one = async (tx: OrgTx, sessionId: string, reason: EndReason): Promise<boolean> => {
    const now = clock.now()
    const ended = await sessions.endOne(tx, sessionId, reason, now)
    await families.endForSession(tx, sessionId, reason, now)
    await codes.consumeForSession(tx, sessionId, now)
    return ended
  }

  return { ofUser, one }
}
