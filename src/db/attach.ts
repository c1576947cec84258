import type { Config } from '../config/schema.ts'
import { AppError } from '../core/errors.ts'
import { openEmbedded } from './embedded/embedded.ts'
import { asDatabaseFault } from './faults.ts'
import { demandMatchingSchema, migrateUp } from './migrations.ts'
import { type Database, openDatabase } from './pool.ts'
import { demandServingRole } from './roles.ts'

type Wanted = Pick<Config, 'databaseUrl' | 'databaseMigrationUrl' | 'dataDir' | 'databasePoolSize'>

export type AttachedDatabase = {
  db: Database
  /** Closes the pool, and the embedded server where this process started it. */
  close: () => Promise<void>
}

/** What PostgreSQL turns away at the door: role or password (class 28), database (3D000). A fault of the configuration. */
const asAttachFault = (error: unknown, variable: string): unknown => {
  const { code, message } = error as { code?: unknown; message: string }
  if (typeof code !== 'string' || !/^(28...|3D000)$/.test(code)) return asDatabaseFault(error)
  return new AppError('invalid', 'database_refused', `PostgreSQL refuses ${variable}: ${message}.`, {
    cause: error,
  })
}

const asOwner = async <T>(url: string, work: (db: Database) => Promise<T>): Promise<T> => {
  // A pool of one: migrations set their lock_timeout on the connection they run on.
  const db = openDatabase({ url, size: 1 })
  try {
    return await work(db)
  } finally {
    await db.destroy()
  }
}

/**
 * The database as the application role, ready to serve: embedded (started or attached to, and migrated), or the
 * configured one, whose schema must match already.
 * @throws AppError `unsafe_database_role` | `schema_mismatch` | `database_unavailable` | `database_refused`
 */
export const attachDatabase = async (config: Wanted): Promise<AttachedDatabase> => {
  const embedded =
    config.databaseUrl === undefined ? await openEmbedded({ dataDir: config.dataDir }) : undefined
  try {
    if (embedded) await asOwner(embedded.urls.owner, migrateUp)
    const db = openDatabase({
      url: embedded?.urls.app ?? (config.databaseUrl as string),
      size: config.databasePoolSize,
    })
    const close = async () => {
      await db.destroy()
      await embedded?.stop()
    }
    try {
      await demandServingRole(db)
      await demandMatchingSchema(db)
    } catch (error) {
      await db.destroy()
      throw asAttachFault(error, 'DATABASE_URL')
    }
    return { db, close }
  } catch (error) {
    await embedded?.stop()
    throw error
  }
}

/**
 * Runs `work` as the owner of the schema, for `portico migrate`.
 * @throws AppError `invalid`/`configuration` | `database_unavailable` | `database_refused`
 */
export const withOwner = async <T>(config: Wanted, work: (db: Database) => Promise<T>): Promise<T> => {
  if (config.databaseUrl === undefined) {
    const embedded = await openEmbedded({ dataDir: config.dataDir })
    try {
      return await asOwner(embedded.urls.owner, work)
    } finally {
      await embedded.stop()
    }
  }
  if (config.databaseMigrationUrl === undefined) {
    throw new AppError(
      'invalid',
      'configuration',
      'DATABASE_MIGRATION_URL is missing: migrations run as portico_owner.',
    )
  }
  try {
    return await asOwner(config.databaseMigrationUrl, work)
  } catch (error) {
    throw asAttachFault(error, 'DATABASE_MIGRATION_URL')
  }
}
