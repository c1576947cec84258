import { beforeAll, describe, expect, test } from 'vitest'
import { type Catalogue, judgeCatalogue, readCatalogue, tableClasses } from '../../src/db/catalogue.ts'
import { openDatabase } from '../../src/db/pool.ts'
import { forOrg, inTx } from '../../src/db/transaction.ts'
import { testDatabase } from '../support/database.ts'
import { probeTable } from './row-security-probe.ts'
import { type SeededOrganisations, seedOrganisations } from './seeded-organisations.ts'

const tenantTables = Object.keys(tableClasses).filter((name) => tableClasses[name] === 'tenant')

const tableIn = (catalogue: Catalogue, name: string) => {
  const table = catalogue.tables.find((each) => each.name === name)
  if (!table) throw new Error(`there is no table ${name}`)
  return table
}

describe('the application role, for one of two organisations', () => {
  // One connection, so that every attempt but the first follows a transaction of some tenant on it.
  const db = testDatabase({ poolSize: 1 })
  let catalogue: Catalogue
  let seeded: SeededOrganisations

  beforeAll(async () => {
    catalogue = await readCatalogue(db.owner)
    seeded = await seedOrganisations(db.owner, catalogue.tables)
  })

  test('finds the same tenant tables by their org_id as the list names, but for the platform’s clients', () => {
    const withOrg = catalogue.tables.filter(({ columns }) => columns.some(({ name }) => name === 'org_id'))
    expect(withOrg.map(({ name }) => name)).toEqual([...tenantTables, 'clients'].sort())
  })

  test.each(tenantTables)('sees and writes its own rows of %s only', async (name) => {
    const counted = await db.owner(name).count('*', { as: 'rows' })
    expect(counted).toEqual([{ rows: 2 }])
    expect(await probeTable({ app: db.app, table: tableIn(catalogue, name), seeded })).toEqual([])
    expect(await db.owner(name).count('*', { as: 'rows' })).toEqual(counted)
  })

  test.each(tenantTables)('sees nothing of %s on a connection that never had a tenant', async (name) => {
    const fresh = openDatabase({ url: db.urls.app, size: 1 })
    try {
      const { rows } = await fresh.raw(`select current_setting('app.org_id', true) as org`)
      expect(rows).toEqual([{ org: null }])
      expect(await fresh(name).select('org_id')).toEqual([])
    } finally {
      await fresh.destroy()
    }
  })

  test.each(tenantTables)('sees nothing of %s once its transaction is over', async (name) => {
    const ctx = forOrg(db.ctx(), seeded.mine)
    expect(await inTx(ctx, (tx) => tx.db(name).select('org_id'))).toEqual([{ org_id: seeded.mine }])
    const { rows } = await db.app.raw(`select current_setting('app.org_id', true) as org`)
    expect(rows).toEqual([{ org: '' }])
    expect(await db.app(name).select('org_id')).toEqual([])
  })
})

/** One table each, so that none hides another. */
const spoilings: [string, string, string, RegExp][] = [
  ['a dropped policy', 'identities', 'drop policy tenant on identities', /^selecting my own: 0, not 1$/],
  [
    'a policy that shows everything',
    'users',
    'alter policy tenant on users using (true)',
    /^selecting the others’: 1, not 0$/,
  ],
  [
    'a policy that lets everything be written',
    'sessions',
    'alter policy tenant on sessions with check (true)',
    /^inserting for the others: 1, not row security$/,
  ],
  [
    'a policy that shows everything to nobody',
    'directories',
    `alter policy tenant on directories
       using (coalesce(org_id = nullif(current_setting('app.org_id', true), '')::uuid, true))`,
    /^selecting for nobody: 2, not 0$/,
  ],
  [
    'a second policy, for deleting',
    'refresh_tokens',
    'create policy extra on refresh_tokens for delete to portico_app using (true)',
    /^deleting everything: 2, not 1$/,
  ],
  [
    'row security switched off',
    'domains',
    'alter table domains disable row level security',
    /^updating the others’: 1, not 0$/,
  ],
  [
    'TRUNCATE granted',
    'directory_tokens',
    'grant truncate on directory_tokens to portico_app',
    /^truncating: -1/,
  ],
  [
    'a foreign key without the organisation in it',
    'replay_keys',
    `alter table replay_keys drop constraint replay_keys_org_id_connection_id_fkey,
       add constraint loose foreign key (connection_id) references connections (id)`,
    /^inserting by loose below the others’ connections: 1, not foreign key$/,
  ],
]

describe('on a schema spoilt for good, the judgement and the behaviour both turn red over', () => {
  const db = testDatabase()
  let seeded: SeededOrganisations

  beforeAll(async () => {
    seeded = await seedOrganisations(db.owner, (await readCatalogue(db.owner)).tables)
  })

  test.each(spoilings)('%s', async (_name, table, statement, expected) => {
    const about = (faults: string[]) => faults.filter((fault) => fault.startsWith(`${table} `))
    const probe = async (catalogue: Catalogue) =>
      probeTable({ app: db.app, table: tableIn(catalogue, table), seeded })

    const whole = await readCatalogue(db.owner)
    expect(about(judgeCatalogue(whole))).toEqual([])
    expect(await probe(whole)).toEqual([])

    await db.owner.raw(statement)
    const spoilt = await readCatalogue(db.owner)
    expect(about(judgeCatalogue(spoilt))).not.toEqual([])
    expect(await probe(spoilt)).toContainEqual(expect.stringMatching(expected))
  })
})
