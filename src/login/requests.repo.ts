import type { Ctx, Tx } from '../core/ctx.ts'

/** What a platform app asked for, waiting for somebody to sign in. */
export type LoginRequestRow = {
  handle_hash: Buffer
  browser_hash: Buffer
  client_id: string
  redirect_uri: string
  scope: string
  state: string | null
  nonce: string | null
  code_challenge: string
  prompt: string | null
  created_at: Date
  expires_at: Date
}

export const insert = async (ctx: Ctx, row: LoginRequestRow): Promise<void> => {
  await ctx.db('login_requests').insert(row)
}

export type WaitingRequest = { clientName: string; clientOrgId: string | null; prompt: string | null }

/** Waiting, not expired, and begun in this browser; with the app that waits. */
export const findWaiting = (
  ctx: Ctx,
  handleHash: Buffer,
  browserHash: Buffer,
  now: Date,
): Promise<WaitingRequest | undefined> =>
  ctx
    .db('login_requests as r')
    .join('clients as c', 'c.id', 'r.client_id')
    .where({ 'r.handle_hash': handleHash, 'r.browser_hash': browserHash })
    .whereNull('r.consumed_at')
    .whereNull('c.disabled_at')
    .andWhere('r.expires_at', '>', now)
    .first('c.name as clientName', 'c.org_id as clientOrgId', 'r.prompt')

/** Single use: the row, for exactly one caller. */
export const consume = async (
  tx: Tx<Ctx>,
  handleHash: Buffer,
  now: Date,
): Promise<LoginRequestRow | undefined> => {
  const [row] = await tx
    .db('login_requests')
    .where({ handle_hash: handleHash })
    .whereNull('consumed_at')
    .andWhere('expires_at', '>', now)
    .update({ consumed_at: now })
    .returning('*')
  return row
}
