/** One PostgreSQL for a whole run: fsync on, every statement counted, a database for each contender. */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withClient } from '../../src/db/embedded/cluster.ts'
import { openEmbedded } from '../../src/db/embedded/embedded.ts'
import { migrateUp } from '../../src/db/migrations.ts'
import { openDatabase } from '../../src/db/pool.ts'

const TMPFS = 0x01021994

export type Statement = { calls: number; milliseconds: number; text: string }

export type BenchDatabase = Awaited<ReturnType<typeof startDatabase>>

const onDatabase = (url: string, name: string): string => {
  const parsed = new URL(url)
  parsed.pathname = `/${name}`
  return parsed.href
}

/** Its data live in a folder of their own, gone afterwards. */
export const startDatabase = async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'portico-bench-'))
  const embedded = await openEmbedded({
    dataDir,
    settings: ['fsync=on', 'synchronous_commit=on', 'shared_preload_libraries=pg_stat_statements'],
  })
  const { superuser } = embedded.urls
  const query = async <T>(text: string, values: unknown[] = []): Promise<T[]> =>
    withClient(superuser, async (client) => (await client.query(text, values)).rows as T[])
  await query('create extension pg_stat_statements')
  const [version] = await query<{ server_version: string }>('show server_version')

  /** An empty database that the peer owns. */
  const createFor = async (name: string): Promise<string> => {
    await query(`drop database if exists ${name} with (force)`)
    await query(`drop role if exists ${name}`)
    await query(`create role ${name} login password '${name}'`)
    await query(`create database ${name} owner ${name}`)
    const url = new URL(onDatabase(superuser, name))
    url.username = name
    url.password = name
    return url.href
  }

  /** Portico's own, emptied and migrated. */
  const recreatePortico = async (): Promise<{ app: string; owner: string }> => {
    await query('drop database if exists portico with (force)')
    await query('create database portico owner portico_owner')
    const owner = openDatabase({ url: embedded.urls.owner, size: 1 })
    await migrateUp(owner)
    await owner.destroy()
    return { app: embedded.urls.app, owner: embedded.urls.owner }
  }

  const forgetStatements = async (): Promise<void> => {
    await query('select pg_stat_statements_reset()')
  }

  /** What ran in one database since they were forgotten, most frequent first; statements inside functions are not. */
  const statements = (name: string): Promise<Statement[]> =>
    query(
      `select s.calls::int as calls, s.total_exec_time as milliseconds, s.query as text
        from pg_stat_statements s join pg_database d on d.oid = s.dbid
        where d.datname = $1 order by s.calls desc, s.total_exec_time desc`,
      [name],
    )

  return {
    version: version?.server_version ?? 'unknown',
    /** False where the folder is in memory, so that fsync costs nothing. */
    durable: statfsSync(dataDir).type !== TMPFS,
    createFor,
    recreatePortico,
    forgetStatements,
    statements,
    stop: async () => {
      await embedded.stop()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
