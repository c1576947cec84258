import type { Ctx, OrgTx, Tx } from '../core/ctx.ts'

export type DataKeyRow = { id: string; wrapped: Buffer }

export const currentOrganisationKey = (ctx: OrgTx): Promise<DataKeyRow | undefined> =>
  ctx
    .db<DataKeyRow & { org_id: string }>('organisation_keys')
    .where({ org_id: ctx.orgId })
    .orderBy('id', 'desc')
    .first('id', 'wrapped')

export const organisationKey = (ctx: OrgTx, id: string): Promise<DataKeyRow | undefined> =>
  ctx
    .db<DataKeyRow & { org_id: string }>('organisation_keys')
    .where({ org_id: ctx.orgId, id })
    .first('id', 'wrapped')

export const insertOrganisationKey = async (ctx: OrgTx, row: DataKeyRow): Promise<DataKeyRow> => {
  await ctx.db('organisation_keys').insert({ ...row, org_id: ctx.orgId })
  return row
}

export const currentPlatformKey = (ctx: Ctx): Promise<DataKeyRow | undefined> =>
  ctx.db<DataKeyRow>('platform_keys').orderBy('id', 'desc').first('id', 'wrapped')

export const platformKey = (ctx: Ctx, id: string): Promise<DataKeyRow | undefined> =>
  ctx.db<DataKeyRow>('platform_keys').where({ id }).first('id', 'wrapped')

export const insertPlatformKey = async (ctx: Tx<Ctx>, row: DataKeyRow): Promise<DataKeyRow> => {
  await ctx.db('platform_keys').insert(row)
  return row
}
