import type { OrgTx } from '../core/ctx.ts'

export type CodeRow = {
  id: string
  hash: Buffer
  session_id: string
  user_id: string
  client_id: string
  redirect_uri: string
  code_challenge: string
  scope: string
  nonce: string | null
  expires_at: Date
  consumed_at: Date | null
  family_id: string | null
}

export const insert = async (tx: OrgTx, row: Omit<CodeRow, 'consumed_at' | 'family_id'>): Promise<void> => {
  await tx.db('authorization_codes').insert({ ...row, org_id: tx.orgId })
}

export const find = (tx: OrgTx, id: string): Promise<CodeRow | undefined> =>
  tx.db('authorization_codes').where({ org_id: tx.orgId, id }).first()

/** Single use: of any number of redeemers at once, one gets true. */
export const consume = async (tx: OrgTx, id: string, now: Date, familyId: string | null): Promise<boolean> =>
  (await tx
    .db('authorization_codes')
    .where({ org_id: tx.orgId, id })
    .whereNull('consumed_at')
    .andWhere('expires_at', '>', now)
    .update({ consumed_at: now, family_id: familyId })) === 1

export const consumeForUser = async (tx: OrgTx, userId: string, now: Date): Promise<void> => {
  await tx
    .db('authorization_codes')
    .where({ org_id: tx.orgId, user_id: userId })
    .whereNull('consumed_at')
    .update({ consumed_at: now })
}

export const consumeForSession = async (tx: OrgTx, sessionId: string, now: Date): Promise<void> => {
  await tx
    .db('authorization_codes')
    .where({ org_id: tx.orgId, session_id: sessionId })
    .whereNull('consumed_at')
    .update({ consumed_at: now })
}
