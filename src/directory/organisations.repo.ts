import type { Ctx, OrgTx, Tx } from '../core/ctx.ts'
import type { Domain, Organisation } from './organisation.ts'

type DomainRow = { id: string; name: string; connection_id: string | null; verified_at: Date | null }

export const insert = async (tx: Tx<Ctx>, organisation: Organisation): Promise<void> => {
  await tx
    .db('organisations')
    .insert({ id: organisation.id, name: organisation.name, created_at: organisation.createdAt })
}

export const list = async (ctx: Ctx): Promise<Organisation[]> =>
  (await ctx.db('organisations').orderBy('id').select('id', 'name', 'created_at')).map((row) => ({
    id: row.id,
    name: row.name,
    createdAt: row.created_at,
  }))

export const exists = async (ctx: Ctx, id: string): Promise<boolean> =>
  (await ctx.db('organisations').where({ id }).first('id')) !== undefined

export const remove = async (tx: Tx<Ctx>, id: string): Promise<boolean> =>
  (await tx.db('organisations').where({ id }).delete()) === 1

export const insertDomain = async (tx: OrgTx, domain: Domain, now: Date): Promise<void> => {
  await tx.db('domains').insert({
    org_id: tx.orgId,
    id: domain.id,
    name: domain.name,
    connection_id: domain.connectionId,
    verified_at: domain.verifiedAt,
    created_at: now,
  })
}

export const assignDomain = async (
  tx: OrgTx,
  name: string,
  connectionId: string,
): Promise<string | undefined> => {
  const [row] = await tx
    .db('domains')
    .where({ org_id: tx.orgId, name })
    .update({ connection_id: connectionId })
    .returning('id')
  return row?.id
}

export const findVerifiedDomain = async (tx: OrgTx, name: string): Promise<Domain | undefined> => {
  const row: DomainRow | undefined = await tx
    .db('domains')
    .where({ org_id: tx.orgId, name })
    .whereNotNull('verified_at')
    .first('id', 'name', 'connection_id', 'verified_at')
  return row && { id: row.id, name: row.name, connectionId: row.connection_id, verifiedAt: row.verified_at }
}
