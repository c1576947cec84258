import type { Knex } from 'knex'
import type pg from 'pg'
import type { Ctx, OrgCtx, Tx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'

const isOpen = <C extends Ctx>(ctx: C): ctx is Tx<C> => (ctx.db as Knex.Transaction).isTransaction === true

/** Binds a context to a tenant. The organisation must come from a verified credential or a look-up function. */
export const forOrg = (ctx: Ctx, orgId: string): OrgCtx => ({ ...ctx, orgId })

/** The tenant each open transaction was set to. */
const tenants = new WeakMap<object, string>()

const setTenant = async (trx: Knex, orgId: string | undefined): Promise<void> => {
  if (orgId === undefined) return
  const current = tenants.get(trx)
  if (current === orgId) return
  // One transaction, one tenant: rows of two could otherwise be written in one breath.
  if (current !== undefined) {
    throw new AppError(
      'internal',
      'tenants_mixed',
      'A transaction of one organisation was entered for another.',
    )
  }
  tenants.set(trx, orgId)
  await sendTenant(trx, orgId)
}

/**
 * Puts the setting on the wire and does not wait for the answer: the connection is pipelined, so it travels with the
 * first statement and is executed before it. Queued on the connection itself, because builders reach it by ways of
 * different length. Should it fail, the transaction is aborted, and every statement after it fails too.
 */
const sendTenant = async (trx: Knex, orgId: string): Promise<void> => {
  const connection: pg.Client = await trx.client.acquireConnection()
  connection
    .query({ name: 'portico_tenant', text: `select set_config('app.org_id', $1, true)`, values: [orgId] })
    .catch(() => undefined)
}

/**
 * Runs `work` in a transaction with the context's tenant set for its length (`set_config(…, true)`), never for the
 * session: a pooled connection must not remember whose it was. Inside a transaction the running one is used, so that a
 * rule that opens one can be part of a larger one; a transaction that has no tenant yet takes the first that comes.
 * @throws AppError `internal`/`tenants_mixed` where the running transaction is another organisation's
 */
export const inTx = async <C extends Ctx, T>(ctx: C, work: (tx: Tx<C>) => Promise<T>): Promise<T> => {
  const { orgId } = ctx as Partial<OrgCtx>
  if (isOpen(ctx)) {
    await setTenant(ctx.db, orgId)
    return work(ctx)
  }
  return ctx.db.transaction(async (trx) => {
    await setTenant(trx, orgId)
    return work({ ...ctx, db: trx } as unknown as Tx<C>)
  })
}

export type LookupFunction =
  | 'org_of_connection'
  | 'org_of_domain'
  | 'org_of_directory'
  | 'org_of_user'
  | 'org_of_login_refusal'

/** The organisation behind an ID or a verified domain, before the tenant is known; null where there is none. */
export const lookUpOrg = async (ctx: Ctx, by: LookupFunction, wanted: string): Promise<string | null> => {
  const { rows } = await ctx.db.raw<{ rows: { org: string | null }[] }>(`select ${by}(?) as org`, [wanted])
  return rows[0]?.org ?? null
}
