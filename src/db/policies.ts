import type { Knex } from 'knex'

/** The tenant of the running transaction. After a transaction the setting reads '' rather than NULL, hence nullif. */
export const CURRENT_ORG = `(select nullif(current_setting('app.org_id', true), '')::uuid)`

/**
 * Puts a table under row security: enabled, and forced so that no owner slips past it. The owner gets a policy of
 * its own, because FORCE binds it too and a backfill would otherwise update nothing without a word.
 */
export const tenantTable = async (knex: Knex, table: string, grants: string): Promise<void> => {
  await knex.raw(`alter table ${table} enable row level security`)
  await knex.raw(`alter table ${table} force row level security`)
  await knex.raw(`
    create policy tenant on ${table} to portico_app
      using (org_id = ${CURRENT_ORG}) with check (org_id = ${CURRENT_ORG})`)
  await knex.raw(`create policy migrations on ${table} to portico_owner using (true) with check (true)`)
  await knex.raw(`grant ${grants} on ${table} to portico_app`)
}

/** A table that belongs to the installation as a whole, not to one organisation. */
export const platformTable = async (knex: Knex, table: string, grants: string): Promise<void> => {
  await knex.raw(`grant ${grants} on ${table} to portico_app`)
}

/**
 * A look-up for the moment before the tenant is known: returns an organisation ID and nothing else. It runs as
 * `portico_lookup`, which sees only the named columns of only the rows that `visible` admits.
 */
export const lookupFunction = async (
  knex: Knex,
  lookup: { name: string; table: string; argument: string; where: string; columns: string; visible?: string },
): Promise<void> => {
  const visible = lookup.visible ?? 'true'
  await knex.raw(
    `create policy ${lookup.name} on ${lookup.table} for select to portico_lookup using (${visible})`,
  )
  await knex.raw(`grant select (${lookup.columns}) on ${lookup.table} to portico_lookup`)
  await knex.raw(`
    create function ${lookup.name}(wanted ${lookup.argument}) returns uuid
      language sql stable security definer set search_path = public, pg_temp
      return (select org_id from ${lookup.table} where ${lookup.where} and (${visible}))`)
  await knex.raw(`revoke execute on function ${lookup.name}(${lookup.argument}) from public`)
  await knex.raw(`grant execute on function ${lookup.name}(${lookup.argument}) to portico_app`)
  // Handing a function over needs CREATE on the schema for its new owner; only for this moment.
  await knex.raw('grant create on schema public to portico_lookup')
  await knex.raw(`alter function ${lookup.name}(${lookup.argument}) owner to portico_lookup`)
  await knex.raw('revoke create on schema public from portico_lookup')
}
