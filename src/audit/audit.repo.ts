import type { Ctx, OrgTx, Tx } from '../core/ctx.ts'

export type AuditRow = {
  id: string
  at: Date
  action: string
  outcome: 'success' | 'refused'
  reason: string | null
  actor_type: string
  actor_id: string | null
  target_type: string | null
  target_id: string | null
  request_id: string
  facts: string
}

export type StoredAuditEvent = Omit<AuditRow, 'facts'> & {
  facts: Record<string, unknown>
  occurrences: number
}

export const insert = async (tx: OrgTx, row: AuditRow): Promise<void> => {
  await tx.db('audit_events').insert({ ...row, org_id: tx.orgId })
}

export const insertForPlatform = async (tx: Tx<Ctx>, row: AuditRow): Promise<void> => {
  await tx.db('platform_audit_events').insert(row)
}

const bump = (ctx: Ctx, table: string) => ({ occurrences: ctx.db.raw('??.occurrences + 1', [table]) })

export const count = async (tx: OrgTx, row: AuditRow, countedAs: string): Promise<string> => {
  const [stored] = await tx
    .db('audit_events')
    .insert({ ...row, org_id: tx.orgId, counted_as: countedAs })
    .onConflict(['org_id', 'counted_as'])
    .merge(bump(tx, 'audit_events'))
    .returning('id')
  return stored.id
}

export const countForPlatform = async (ctx: Ctx, row: AuditRow, countedAs: string): Promise<string> => {
  const [stored] = await ctx
    .db('platform_audit_events')
    .insert({ ...row, counted_as: countedAs })
    .onConflict(['counted_as'])
    .merge(bump(ctx, 'platform_audit_events'))
    .returning('id')
  return stored.id
}

export const find = (tx: OrgTx, id: string): Promise<StoredAuditEvent | undefined> =>
  tx.db('audit_events').where({ org_id: tx.orgId, id }).first()

export const findForPlatform = (ctx: Ctx, id: string): Promise<StoredAuditEvent | undefined> =>
  ctx.db('platform_audit_events').where({ id }).first()

/** Oldest first: event IDs are UUIDv7, so their order is the order of time. */
export const list = (
  tx: OrgTx,
  { after, limit }: { after?: string; limit: number },
): Promise<StoredAuditEvent[]> => {
  const query = tx.db('audit_events').where({ org_id: tx.orgId }).orderBy('id').limit(limit)
  return after === undefined ? query : query.where('id', '>', after)
}
