import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, inject } from 'vitest'
import type { Ctx } from '../../src/core/ctx.ts'
import { withClient } from '../../src/db/embedded/cluster.ts'
import { type Database, openDatabase } from '../../src/db/pool.ts'

export type TestDatabase = {
  /** As the application role. */
  readonly app: Database
  /** As the owner of the schema. */
  readonly owner: Database
  readonly urls: { superuser: string; owner: string; app: string }
  /** A context without a tenant, as the application role. */
  ctx: () => Ctx
}

const onDatabase = (url: string, name: string): string => {
  const parsed = new URL(url)
  parsed.pathname = `/${name}`
  return parsed.href
}

/** A database of the test file's own, cloned from the migrated template; dropped afterwards. */
export const testDatabase = ({ poolSize = 10 } = {}): TestDatabase => {
  const name = `test_${randomBytes(6).toString('hex')}`
  const server = inject('databaseUrls')
  const urls = {
    superuser: onDatabase(server.superuser, name),
    owner: onDatabase(server.owner, name),
    app: onDatabase(server.app, name),
  }
  const opened: { app?: Database; owner?: Database } = {}
  beforeAll(async () => {
    await withClient(server.superuser, (client) =>
      client.query(`create database ${name} template portico strategy file_copy owner portico_owner`),
    )
    opened.app = openDatabase({ url: urls.app, size: poolSize })
    opened.owner = openDatabase({ url: urls.owner, size: 2 })
  })
  afterAll(async () => {
    await opened.app?.destroy()
    await opened.owner?.destroy()
    await withClient(server.superuser, (client) =>
      client.query(`drop database if exists ${name} with (force)`),
    )
  })
  const need = (which: 'app' | 'owner'): Database => {
    const db = opened[which]
    if (!db) throw new Error('the test database is opened in beforeAll')
    return db
  }
  return {
    urls,
    get app() {
      return need('app')
    },
    get owner() {
      return need('owner')
    },
    ctx: () => ({ db: need('app'), actor: { type: 'system' }, requestId: 'test' }),
  }
}
