import { describe, expect, test } from 'vitest'
import {
  demandMatchingSchema,
  migrateDown,
  migrateUp,
  migrationNames,
  migrationStatus,
} from '../../src/db/migrations.ts'
import { testDatabase } from '../support/database.ts'

describe('migrations', () => {
  const db = testDatabase()

  test('go down to nothing and up again, and the schema matches the code only at the top', async () => {
    expect((await migrationStatus(db.app)).missing).toEqual([])
    await migrateDown(db.owner)
    expect((await migrationStatus(db.app)).missing).toEqual(migrationNames)
    await expect(demandMatchingSchema(db.app)).rejects.toThrow(/Run: portico migrate up/)
    await migrateUp(db.owner)
    await demandMatchingSchema(db.app)
  })

  test('a schema from a newer version is refused', async () => {
    await db
      .owner('knex_migrations')
      .insert({ name: '9999-from-the-future', batch: 99, migration_time: new Date() })
    await expect(demandMatchingSchema(db.app)).rejects.toThrow(/does not know, first 9999-from-the-future/)
    await db.owner('knex_migrations').where({ name: '9999-from-the-future' }).delete()
  })
})
