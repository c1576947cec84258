import type { OrgTx } from '../core/ctx.ts'

/** One trip to one IdP, bound to the browser it was begun in. */
export type LoginFlowRow = {
  handle_hash: Buffer
  connection_id: string
  browser_hash: Buffer
  request_hash: Buffer
  expects_sealed: Buffer
  created_at: Date
  expires_at: Date
  consumed_at: Date | null
}

export const insert = async (tx: OrgTx, row: Omit<LoginFlowRow, 'consumed_at'>): Promise<void> => {
  await tx.db('login_flows').insert({ ...row, org_id: tx.orgId })
}

/** Of this connection and this browser, or not at all: a response carried to another browser finds no flow. */
export const find = (
  tx: OrgTx,
  flow: { handleHash: Buffer; connectionId: string; browserHash: Buffer },
): Promise<LoginFlowRow | undefined> =>
  tx
    .db('login_flows')
    .where({
      org_id: tx.orgId,
      handle_hash: flow.handleHash,
      connection_id: flow.connectionId,
      browser_hash: flow.browserHash,
    })
    .first()

/** Single use: of any number of callbacks at once, one gets true. */
export const consume = async (tx: OrgTx, handleHash: Buffer, now: Date): Promise<boolean> =>
  (await tx
    .db('login_flows')
    .where({ org_id: tx.orgId, handle_hash: handleHash })
    .whereNull('consumed_at')
    .andWhere('expires_at', '>', now)
    .update({ consumed_at: now })) === 1

/** False where the key was seen before: the second use of an assertion or ID token. */
export const insertReplayKey = async (
  tx: OrgTx,
  key: { connectionId: string; keyHash: Buffer; until: Date },
): Promise<boolean> => {
  const inserted = await tx
    .db('replay_keys')
    .insert({
      org_id: tx.orgId,
      connection_id: key.connectionId,
      key_hash: key.keyHash,
      expires_at: key.until,
    })
    .onConflict()
    .ignore()
    .returning('key_hash')
  return inserted.length === 1
}
