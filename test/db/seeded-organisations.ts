import { randomBytes } from 'node:crypto'
import type { Knex } from 'knex'
import { newUuid } from '../../src/core/ids.ts'
import type { ColumnFacts, ForeignKeyFacts, TableFacts } from '../../src/db/catalogue.repo.ts'

export type Row = Record<string, unknown>

export type SeededOrganisations = {
  /** Two organisations with one row each in every table of theirs. */
  mine: string
  others: string
  rowOf: (table: string, org: string) => Row
  /** A row that could be inserted for `org`, and is not. */
  freshRow: (table: string, org: string) => Row
}

/** Some value of each type; distinct every time where the type has room for it. */
const samples: Record<string, () => unknown> = {
  uuid: newUuid,
  text: () => `t${randomBytes(8).toString('hex')}`,
  bytea: () => randomBytes(32),
  jsonb: () => '{}',
  boolean: () => true,
  integer: () => 1,
  bigint: () => 1,
  'text[]': () => [],
  'timestamp with time zone': () => new Date(),
}

/** Columns whose check constraint wants one of a few words. */
const chosen: Record<string, unknown> = {
  'audit_events.outcome': 'success',
  'connections.status': 'draft',
}

const sample = (table: TableFacts, column: ColumnFacts): unknown => {
  const make = samples[column.type]
  if (!make) throw new Error(`no sample for ${table.name}.${column.name}, which is ${column.type}`)
  return chosen[`${table.name}.${column.name}`] ?? make()
}

const isOptional = (table: TableFacts, key: ForeignKeyFacts): boolean =>
  table.columns.some(({ name, notNull }) => key.columns.includes(name) && !notNull)

/** Seeds by what the catalogue says of columns and foreign keys, so that a new table is covered without a word. */
export const seedOrganisations = async (
  owner: Knex,
  tables: readonly TableFacts[],
): Promise<SeededOrganisations> => {
  const byName = new Map(tables.map((table) => [table.name, table]))
  const made = new Map<string, Row>()
  const [mine, others] = [newUuid(), newUuid()]

  const rowOf = (table: string, org: string): Row => {
    const row = made.get(`${table} ${org}`)
    if (!row) throw new Error(`${table} has no row for ${org}`)
    return row
  }

  const freshRow = (name: string, org: string): Row => {
    const table = byName.get(name)
    if (!table) throw new Error(`there is no table ${name}`)
    if (name === 'organisations') return { id: org, name: 'an organisation' }
    const needed = table.columns.filter(({ notNull, filled }) => notNull && !filled)
    const row: Row = Object.fromEntries(needed.map((column) => [column.name, sample(table, column)]))
    for (const key of table.foreignKeys) {
      const parent = made.get(`${key.target} ${org}`)
      if (!parent && isOptional(table, key)) continue
      const known = parent ?? rowOf(key.target, org)
      key.columns.forEach((column, index) => {
        row[column] = known[key.targetColumns[index] as string]
      })
    }
    return row
  }

  const seed = async (name: string, org: string, onTheWay: readonly string[] = []): Promise<void> => {
    if (made.has(`${name} ${org}`)) return
    for (const { target } of byName.get(name)?.foreignKeys ?? []) {
      if (target !== name && !onTheWay.includes(target)) await seed(target, org, [...onTheWay, name])
    }
    const [row] = await owner(name).insert(freshRow(name, org)).returning('*')
    made.set(`${name} ${org}`, row as Row)
  }

  for (const org of [mine, others]) {
    for (const { name, columns } of tables) {
      if (columns.some((column) => column.name === 'org_id')) await seed(name, org)
    }
  }
  return { mine, others, rowOf, freshRow }
}
