/**
 * A real PostgreSQL from npm for trying, developing and testing. Lives in the data directory; whoever starts it stops
 * it; later processes find its published address and attach. Invariant: it listens on loopback only, with passwords,
 * and files that hold them are mode 0600.
 */
import { chmodSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { AppError } from '../../core/errors.ts'
import { roleStatements } from '../roles.ts'
import { serverAccount } from './account.ts'
import {
  type Address,
  makePasswords,
  publishAddress,
  type RolePasswords,
  readAddress,
  readPasswords,
  withdrawAddress,
} from './address.ts'
import { locateBinaries } from './binaries.ts'
import { type Cluster, initialise, start, stop, withClient } from './cluster.ts'
import { isRunning, markOf } from './processes.ts'
import { withStartLock } from './start-lock.ts'

export type EmbeddedDatabase = {
  /** One URL per role, on the database `portico` (the superuser's on `postgres`). */
  urls: { superuser: string; owner: string; app: string }
  /** True where this process answers for stopping it. */
  owned: boolean
  /** Stops the server where we own it; otherwise does nothing. */
  stop: () => Promise<void>
}

const urlsOf = (port: number, passwords: RolePasswords): EmbeddedDatabase['urls'] => {
  const url = (role: string, password: string, database: string) =>
    `postgres://${role}:${password}@127.0.0.1:${port}/${database}`
  return {
    superuser: url('postgres', passwords.superuser, 'postgres'),
    owner: url('portico_owner', passwords.owner, 'portico'),
    app: url('portico_app', passwords.app, 'portico'),
  }
}

/** Every statement here may find its work done: a first start can be killed between any two. */
const bootstrap = (urls: EmbeddedDatabase['urls'], passwords: RolePasswords): Promise<void> =>
  withClient(urls.superuser, async (client) => {
    const exists = async (query: string) => ((await client.query(query)).rowCount ?? 0) > 0
    if (!(await exists(`select 1 from pg_roles where rolname = 'portico_lookup'`))) {
      await client.query(['begin', ...roleStatements(passwords), 'commit'].join(';\n'))
    }
    if (!(await exists(`select 1 from pg_database where datname = 'portico'`))) {
      await client.query('create database portico owner portico_owner')
    }
  })

const answers = async (urls: EmbeddedDatabase['urls']): Promise<boolean> => {
  try {
    await withClient(urls.superuser, (client) => client.query('select 1'))
    return true
  } catch {
    return false
  }
}

/**
 * Attaches to the running server of `dataDir`, adopts one whose owner has died, or starts it.
 * @param settings further `name=value` PostgreSQL settings, used only where we start it
 * @throws AppError `unsupported` | `unavailable` with what to do
 */
export const openEmbedded = async ({
  dataDir,
  settings = [],
}: {
  dataDir: string
  settings?: string[]
}): Promise<EmbeddedDatabase> => {
  const home = resolve(dataDir)
  mkdirSync(home, { recursive: true })
  // The server's own account has to walk through; what is secret inside is 0600 by itself.
  chmodSync(home, 0o711)
  return withStartLock(home, async () => {
    const known = readPasswords(home)
    const address = readAddress(home)
    if (known && address && isRunning(address.postmaster)) {
      const urls = urlsOf(address.port, known)
      if (await answers(urls)) return attach(home, address, urls)
    }
    return startHere(home, settings, known)
  })
}

const attach = (home: string, address: Address, urls: EmbeddedDatabase['urls']): EmbeddedDatabase => {
  if (isRunning(address.owner)) return { urls, owned: false, stop: async () => undefined }
  const adopted = { ...address, owner: markOf(process.pid) }
  publishAddress(home, adopted)
  return { urls, owned: true, stop: () => stopOwned(home, adopted) }
}

const stopOwned = async (home: string, address: Address): Promise<void> =>
  withStartLock(home, async () => {
    await stop(address.postmaster)
    if (readAddress(home)?.postmaster.pid === address.postmaster.pid) withdrawAddress(home)
  })

const startHere = async (
  home: string,
  settings: string[],
  known: RolePasswords | undefined,
): Promise<EmbeddedDatabase> => {
  const binaries = await locateBinaries()
  const folder = join(home, 'postgres')
  const cluster: Cluster = {
    binaries,
    folder,
    account: serverAccount([binaries.postgres, folder]),
    logPath: join(home, 'postgres.log'),
  }
  const passwords = known ?? makePasswords(home)
  await initialise(cluster, passwords.superuser)
  const running = await start(cluster, settings, async (port) => {
    await withClient(urlsOf(port, passwords).superuser, (client) => client.query('select 1'))
  })
  const { pid } = running.process
  if (pid === undefined)
    throw new AppError('unavailable', 'embedded_postgres_start', 'The embedded PostgreSQL does not start.')
  const urls = urlsOf(running.port, passwords)
  await bootstrap(urls, passwords)
  const address = { port: running.port, postmaster: markOf(pid), owner: markOf(process.pid) }
  publishAddress(home, address)
  return { urls, owned: true, stop: () => stopOwned(home, address) }
}
