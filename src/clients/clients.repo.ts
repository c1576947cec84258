import type { Ctx, Tx } from '../core/ctx.ts'
import type { Client } from './client.ts'

type ClientRow = {
  id: string
  org_id: string | null
  name: string
  redirect_uris: string[]
  post_logout_redirect_uris: string[]
  audience: string
  secret_hash: Buffer
}

const COLUMNS = [
  'id',
  'org_id',
  'name',
  'redirect_uris',
  'post_logout_redirect_uris',
  'audience',
  'secret_hash',
] as const

const toClient = (row: ClientRow): Client => ({
  id: row.id,
  orgId: row.org_id,
  name: row.name,
  redirectUris: row.redirect_uris,
  postLogoutRedirectUris: row.post_logout_redirect_uris,
  audience: row.audience,
})

export const insert = async (tx: Tx<Ctx>, client: Client, secretHash: Buffer, now: Date): Promise<void> => {
  await tx.db('clients').insert({
    id: client.id,
    org_id: client.orgId,
    name: client.name,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    audience: client.audience,
    secret_hash: secretHash,
    created_at: now,
  })
}

export const find = async (ctx: Ctx, id: string): Promise<{ client: Client; hash: Buffer } | undefined> => {
  const row: ClientRow | undefined = await ctx
    .db('clients')
    .where({ id })
    .whereNull('disabled_at')
    .first(...COLUMNS)
  return row && { client: toClient(row), hash: row.secret_hash }
}

export const list = async (ctx: Ctx): Promise<Client[]> => {
  const rows: ClientRow[] = await ctx
    .db('clients')
    .orderBy('id')
    .select(...COLUMNS)
  return rows.map(toClient)
}
