import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { mintCredential, parseCredential } from '../crypto/credentials.ts'
import { deriveKey } from '../crypto/hash.ts'
import { openBytes, sealBytes } from '../crypto/seal.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Session } from '../sessions/session.ts'
import * as repo from './refresh.repo.ts'
import { type TokenUser, toTokenUser } from './token-user.repo.ts'

/** Within this, a token that comes again (a lost answer, sixteen tabs) gets the same successor; later it is theft. */
const REPEAT_GRACE_SECONDS = 10

export type RefreshGrant = {
  ctx: OrgCtx
  refreshToken: string
  sessionId: string
  user: TokenUser
  scope: string
  acr: string | null
  amr: string[]
  authTime: Date
}

export type RefreshTokens = ReturnType<typeof createRefreshTokens>

const invalidGrant = (): AppError =>
  new AppError(
    'invalid',
    'invalid_grant',
    'The refresh token is not valid: unknown, used, expired or revoked.',
  )

/** Only who holds the parent can read its successor: the database alone cannot. */
const successorKey = (parentSecret: Buffer): Buffer => deriveKey(parentSecret, 'portico/refresh-successor')

export const createRefreshTokens = ({ clock, audit }: { clock: Clock; audit: Audit }) => {
  /** Opens a family and returns its first token. Nothing of it outlives the session. */
  const openFamily = async (
    tx: OrgTx,
    family: { id: string; session: Session; clientId: string; scope: string },
  ): Promise<string> => {
    const now = clock.now()
    await repo.insertFamily(tx, {
      id: family.id,
      sessionId: family.session.id,
      userId: family.session.userId,
      clientId: family.clientId,
      scope: family.scope,
      createdAt: now,
      expiresAt: family.session.expiresAt,
    })
    const { id, token, hash } = mintCredential('refresh', tx.orgId)
    await repo.insertToken(tx, { id, hash, familyId: family.id, createdAt: now })
    return token
  }

  const endFamily = (tx: OrgTx, id: string, reason: string): Promise<boolean> =>
    repo.endFamily(tx, id, reason, clock.now())

  const answerTheft = (ctx: OrgCtx, stolen: repo.RotationRow, clientId: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      if (!(await endFamily(tx, stolen.family_id, 'refresh_token_reused'))) return
      await audit.record(tx, {
        action: 'token.refresh_reused',
        outcome: 'refused',
        reason: 'refresh_token_reused',
        target: { type: 'session', id: stolen.session_id },
        actor: { type: 'client', id: clientId },
        facts: { user: stolen.user_id, family: stolen.family_id },
      })
    })

  /**
   * Exchanges a refresh token for its one successor.
   * @throws AppError `invalid`/`invalid_grant`, the same whatever was wrong
   */
  const rotate = async (ctx: Ctx, token: string, clientId: string): Promise<RefreshGrant> => {
    const parent = parseCredential('refresh', token)
    if (!parent || parent.orgId === null) throw invalidGrant()
    const orgCtx = forOrg(ctx, parent.orgId)
    const key = successorKey(parent.secret)
    const successor = mintCredential('refresh', parent.orgId)
    const row = await repo.rotate(ctx, {
      orgId: parent.orgId,
      id: parent.id,
      hash: parent.hash,
      clientId,
      now: clock.now(),
      graceSeconds: REPEAT_GRACE_SECONDS,
      successor: {
        id: successor.id,
        hash: successor.hash,
        sealed: sealBytes(key, parent.id, Buffer.from(successor.token)),
      },
    })
    if (row.outcome === 'reused') await answerTheft(orgCtx, row, clientId)
    if (row.outcome !== 'rotated' && row.outcome !== 'repeated') throw invalidGrant()
    const refreshToken =
      row.sealed === null ? successor.token : openBytes(key, parent.id, row.sealed).toString()
    return {
      ctx: orgCtx,
      refreshToken,
      sessionId: row.session_id,
      user: toTokenUser(row.person),
      scope: row.scope,
      acr: row.acr,
      amr: row.amr,
      authTime: row.auth_time,
    }
  }

  return { openFamily, endFamily, rotate }
}
