import type { Knex } from 'knex'
import type { ForeignKeyFacts, TableFacts } from '../../src/db/catalogue.repo.ts'
import { tableClasses } from '../../src/db/catalogue.ts'
import { forOrg, inTx } from '../../src/db/transaction.ts'
import type { Row, SeededOrganisations } from './seeded-organisations.ts'

/** How many rows a statement saw or touched, or what stopped it. */
type Outcome = number | 'row security' | 'privilege' | 'foreign key' | `error ${string}`

type Statement = (db: Knex) => Promise<number>

export type Probed = { table: TableFacts; seeded: SeededOrganisations; app: Knex }

const outcomeOf = (error: unknown): Outcome => {
  const { code, message } = error as { code?: string; message: string }
  if (code === '42501') return /row-level security/.test(message) ? 'row security' : 'privilege'
  return code === '23503' ? 'foreign key' : `error ${message}`
}

/** Runs one statement as the application, for `org` or for nobody, and takes it back. */
const attempt = async (app: Knex, org: string | undefined, statement: Statement): Promise<Outcome> => {
  const takeBack = new Error('take it back')
  const ctx = { db: app, actor: { type: 'system' as const }, requestId: 'probe' }
  let outcome: Outcome = 0
  await inTx(org === undefined ? ctx : forOrg(ctx, org), async ({ db }) => {
    try {
      outcome = await statement(db)
      await db.raw('set constraints all immediate')
    } catch (error) {
      outcome = outcomeOf(error)
    }
    throw takeBack
  }).catch((error: unknown) => {
    if (error !== takeBack) throw error
  })
  return outcome
}

const count =
  (table: string, where: Row = {}): Statement =>
  async (db) =>
    (await db(table).where(where).select(db.raw('1'))).length

const may = (table: TableFacts, privilege: string): boolean =>
  table.grants.some((g) => g.grantee === 'portico_app' && g.privilege === privilege && g.column === null)

const insert =
  (table: string, row: Row): Statement =>
  async (db) =>
    ((await db(table).insert(row)) as unknown as { rowCount: number }).rowCount

/** A table of mere links has room for one row between two parents, so the one that is there makes way first. */
const replace =
  (table: TableFacts, row: Row): Statement =>
  async (db) => {
    if (may(table, 'delete')) await db(table.name).where({ org_id: row.org_id }).delete()
    return insert(table.name, row)(db)
  }

const update =
  (table: string, set: string, value: unknown, where: Row = {}): Statement =>
  async (db) =>
    db(table)
      .where(where)
      .update({ [set]: value })

const remove =
  (table: string, where: Row = {}): Statement =>
  async (db) =>
    db(table).where(where).delete()

const truncate =
  (table: string): Statement =>
  async (db) => {
    await db.raw('truncate ?? cascade', [table])
    return -1
  }

/** A column that the application may set; org_id if it may, since moving rows between tenants is the attack. */
const settable = (table: TableFacts): string | undefined => {
  const grants = table.grants.filter((g) => g.grantee === 'portico_app' && g.privilege === 'update')
  if (grants.some(({ column }) => column === null || column === 'org_id')) return 'org_id'
  return grants[0]?.column ?? undefined
}

/** A row of mine that points at the others' parent where it should point at mine. */
const strayRow = ({ table, seeded }: Probed, key: ForeignKeyFacts): Row => {
  const row = seeded.freshRow(table.name, seeded.mine)
  const parent = seeded.rowOf(key.target, seeded.others)
  key.columns.forEach((column, index) => {
    if (column !== 'org_id') row[column] = parent[key.targetColumns[index] as string]
  })
  return row
}

type Expectation = [what: string, org: string | undefined, statement: Statement, expected: Outcome]

const readings = ({ table: { name }, seeded: { mine, others } }: Probed): Expectation[] => [
  ['selecting my own', mine, count(name, { org_id: mine }), 1],
  ['selecting everything', mine, count(name), 1],
  ['selecting the others’', mine, count(name, { org_id: others }), 0],
  ['selecting for nobody', undefined, count(name), 0],
  ['truncating', mine, truncate(name), 'privilege'],
]

const insertions = (probed: Probed): Expectation[] => {
  const { table, seeded } = probed
  const { mine, others, freshRow } = seeded
  if (!may(table, 'insert')) return []
  const keys = table.foreignKeys.filter(({ target }) => tableClasses[target] === 'tenant')
  return [
    ['inserting for me', mine, replace(table, freshRow(table.name, mine)), 1],
    ['inserting for the others', mine, insert(table.name, freshRow(table.name, others)), 'row security'],
    ['inserting for nobody', undefined, insert(table.name, freshRow(table.name, mine)), 'row security'],
    ...keys.map(
      (key): Expectation => [
        `inserting by ${key.name} below the others’ ${key.target}`,
        mine,
        insert(table.name, strayRow(probed, key)),
        'foreign key',
      ],
    ),
  ]
}

const updates = ({ table, seeded: { mine, others, rowOf } }: Probed): Expectation[] => {
  const column = settable(table)
  const { name } = table
  if (column === undefined) return [['updating', mine, update(name, 'org_id', mine), 'privilege']]
  const [same, theirs] = [rowOf(name, mine)[column], rowOf(name, others)[column]]
  const moves: Expectation[] =
    column === 'org_id'
      ? [
          ['moving mine to the others', mine, update(name, column, others, { org_id: mine }), 'row security'],
          ['moving the others’ to me', mine, update(name, column, mine, { org_id: others }), 0],
        ]
      : [['moving mine to the others', mine, update(name, 'org_id', others), 'privilege']]
  return [
    ['updating my own', mine, update(name, column, same, { org_id: mine }), 1],
    ['updating everything', mine, update(name, column, same), 1],
    ['updating the others’', mine, update(name, column, theirs, { org_id: others }), 0],
    ['updating for nobody', undefined, update(name, column, same), 0],
    ...moves,
  ]
}

const deletions = ({ table, seeded: { mine, others } }: Probed): Expectation[] => {
  const { name } = table
  if (!may(table, 'delete')) return [['deleting', mine, remove(name), 'privilege']]
  return [
    ['deleting my own', mine, remove(name, { org_id: mine }), 1],
    ['deleting everything', mine, remove(name), 1],
    ['deleting the others’', mine, remove(name, { org_id: others }), 0],
    ['deleting for nobody', undefined, remove(name), 0],
  ]
}

/** Tries every verb on one tenant table as the application; one sentence for each that did not end as it must. */
export const probeTable = async (probed: Probed): Promise<string[]> => {
  const faults: string[] = []
  const expectations = [...readings(probed), ...insertions(probed), ...updates(probed), ...deletions(probed)]
  for (const [what, org, statement, expected] of expectations) {
    const outcome = await attempt(probed.app, org, statement)
    if (outcome !== expected) faults.push(`${what}: ${outcome}, not ${expected}`)
  }
  return faults
}
