import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { withClient } from '../../src/db/embedded/cluster.ts'
import { openEmbedded } from '../../src/db/embedded/embedded.ts'
import { migrateUp } from '../../src/db/migrations.ts'
import { openDatabase } from '../../src/db/pool.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    databaseUrls: { superuser: string; owner: string; app: string }
  }
}

/** One server for the whole run, without fsync; a migrated template that every test file clones. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'portico-test-'))
  const embedded = await openEmbedded({
    dataDir,
    settings: [
      'fsync=off',
      'synchronous_commit=off',
      'full_page_writes=off',
      'max_connections=200',
      'shared_buffers=64MB',
    ],
  })
  const owner = openDatabase({ url: embedded.urls.owner, size: 1 })
  await migrateUp(owner)
  await owner.destroy()
  await withClient(embedded.urls.superuser, (client) =>
    client.query('alter database portico with is_template true allow_connections false'),
  )
  project.provide('databaseUrls', embedded.urls)
  return async () => {
    await embedded.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}
