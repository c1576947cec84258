import type { Ctx, OrgTx } from '../core/ctx.ts'
import type { TokenUserRow } from './token-user.repo.ts'

export type Family = {
  id: string
  sessionId: string
  userId: string
  clientId: string
  scope: string
  createdAt: Date
  expiresAt: Date
}

export const insertFamily = async (tx: OrgTx, family: Family): Promise<void> => {
  await tx.db('refresh_families').insert({
    org_id: tx.orgId,
    id: family.id,
    session_id: family.sessionId,
    user_id: family.userId,
    client_id: family.clientId,
    scope: family.scope,
    created_at: family.createdAt,
    expires_at: family.expiresAt,
  })
}

export const insertToken = async (
  tx: OrgTx,
  token: { id: string; hash: Buffer; familyId: string; createdAt: Date },
): Promise<void> => {
  await tx.db('refresh_tokens').insert({
    org_id: tx.orgId,
    id: token.id,
    hash: token.hash,
    family_id: token.familyId,
    created_at: token.createdAt,
  })
}

const openFamilies = (tx: OrgTx) =>
  tx.db('refresh_families').where({ org_id: tx.orgId }).whereNull('ended_at')

const ending = (now: Date, reason: string) => ({ ended_at: now, end_reason: reason })

export const endForUser = async (tx: OrgTx, userId: string, reason: string, now: Date): Promise<void> => {
  await openFamilies(tx).andWhere({ user_id: userId }).update(ending(now, reason))
}

export const endForSession = async (
  tx: OrgTx,
  sessionId: string,
  reason: string,
  now: Date,
): Promise<void> => {
  await openFamilies(tx).andWhere({ session_id: sessionId }).update(ending(now, reason))
}

/** False where it was over already. */
export const endFamily = async (tx: OrgTx, id: string, reason: string, now: Date): Promise<boolean> =>
  (await openFamilies(tx).andWhere({ id }).update(ending(now, reason))) === 1

export type Rotation = {
  orgId: string
  id: string
  hash: Buffer
  clientId: string
  now: Date
  graceSeconds: number
  successor: { id: string; hash: Buffer; sealed: Buffer }
}

export type RotationRow = {
  outcome: 'rotated' | 'repeated' | 'reused' | 'over' | 'unknown'
  family_id: string
  session_id: string
  user_id: string
  scope: string
  acr: string | null
  amr: string[]
  auth_time: Date
  sealed: Buffer | null
  person: TokenUserRow
}

/** One statement that is its own transaction and sets its own tenant; see migration 0006. */
export const rotate = async (ctx: Ctx, rotation: Rotation): Promise<RotationRow> => {
  const { rows } = await ctx.db.raw<{ rows: RotationRow[] }>(
    'select * from rotate_refresh_token(?, ?, ?, ?, ?, make_interval(secs => ?), ?, ?, ?)',
    [
      rotation.orgId,
      rotation.id,
      rotation.hash,
      rotation.clientId,
      rotation.now,
      rotation.graceSeconds,
      rotation.successor.id,
      rotation.successor.hash,
      rotation.successor.sealed,
    ],
  )
  return rows[0] as RotationRow
}
