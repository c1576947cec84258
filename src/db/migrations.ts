import type { Knex } from 'knex'
import * as organisations from '../../migrations/0001-organisations.ts'
import * as connections from '../../migrations/0002-connections-and-directories.ts'
import * as users from '../../migrations/0003-users.ts'
import * as sessions from '../../migrations/0004-sessions-and-tokens.ts'
import * as audit from '../../migrations/0005-audit-events.ts'
import * as refreshRotation from '../../migrations/0006-refresh-rotation.ts'
import * as sweep from '../../migrations/0007-sweep.ts'
import { AppError } from '../core/errors.ts'

type Migration = { up: (knex: Knex) => Promise<void>; down: (knex: Knex) => Promise<void> }

// Names without extensions: the same history holds for tsx and for the built JavaScript.
const migrations: Record<string, Migration> = {
  '0001-organisations': organisations,
  '0002-connections-and-directories': connections,
  '0003-users': users,
  '0004-sessions-and-tokens': sessions,
  '0005-audit-events': audit,
  '0006-refresh-rotation': refreshRotation,
  '0007-sweep': sweep,
}

export const migrationNames = Object.keys(migrations)

const source: Knex.MigrationSource<string> = {
  getMigrations: async () => migrationNames,
  getMigrationName: (name) => name,
  getMigration: async (name) => migrations[name] as Migration,
}

const settings = { migrationSource: source, tableName: 'knex_migrations' }

/** A DDL statement that cannot get its lock gives up, rather than queueing every login behind itself. */
const LOCK_TIMEOUT = '5s'

const asMigrator = async <T>(db: Knex, work: () => Promise<T>): Promise<T> => {
  await db.raw(`select set_config('lock_timeout', '${LOCK_TIMEOUT}', false)`)
  const result = await work()
  await db.raw('grant select on knex_migrations to portico_app')
  return result
}

/** Applies what is missing; returns the names applied. `db` is the owner role on a pool of one. */
export const migrateUp = (db: Knex): Promise<string[]> =>
  asMigrator(db, async () => ((await db.migrate.latest(settings)) as [number, string[]])[1])

/** Takes the last batch back: for development; production goes forward only. */
export const migrateDown = (db: Knex): Promise<string[]> =>
  asMigrator(db, async () => ((await db.migrate.rollback(settings)) as [number, string[]])[1])

export type MigrationStatus = { applied: string[]; missing: string[]; unknown: string[] }

export const migrationStatus = async (db: Knex): Promise<MigrationStatus> => {
  const { rows } = await db.raw<{ rows: { present: boolean }[] }>(
    `select to_regclass('public.knex_migrations') is not null as present`,
  )
  const applied: string[] = rows[0]?.present
    ? (await db('knex_migrations').orderBy('id').select('name')).map((row) => row.name as string)
    : []
  return {
    applied,
    missing: migrationNames.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !migrationNames.includes(name)),
  }
}

/** @throws AppError `unavailable`/`schema_mismatch` where the schema is older or newer than this code */
export const demandMatchingSchema = async (db: Knex): Promise<void> => {
  const { missing, unknown } = await migrationStatus(db)
  if (missing.length > 0) {
    throw new AppError(
      'unavailable',
      'schema_mismatch',
      `The database lacks ${missing.length} migration(s), first ${missing[0]}. Run: portico migrate up`,
    )
  }
  if (unknown.length > 0) {
    throw new AppError(
      'unavailable',
      'schema_mismatch',
      `The database has migration(s) that this version does not know, first ${unknown[0]}. Run the version that made them, or a newer one.`,
    )
  }
}
