import { type ChildProcess, spawn } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { AppError } from '../../core/errors.ts'
import type { Account } from './account.ts'
import type { Binaries } from './binaries.ts'
import { isAlive, isRunning, type ProcessMark } from './processes.ts'

export type Cluster = {
  binaries: Binaries
  account: Account
  /** The data directory of PostgreSQL itself. */
  folder: string
  logPath: string
}

const run = (cluster: Cluster, command: string, args: string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const [program, argv] = cluster.account.wrap(command, args)
    const child = spawn(program, argv, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.on('data', (chunk) => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('exit', (code) =>
      code === 0
        ? resolve()
        : reject(
            new AppError('internal', 'embedded_postgres_init', `initdb failed: ${stderr.trim().slice(-400)}`),
          ),
    )
  })

/** initdb into a folder beside, renamed when whole: a start that is killed halfway leaves nothing to trip over. */
export const initialise = async (cluster: Cluster, superuserPassword: string): Promise<void> => {
  if (existsSync(join(cluster.folder, 'PG_VERSION'))) return
  const draft = `${cluster.folder}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  const passwordFile = `${cluster.folder}.pw`
  writeFileSync(passwordFile, superuserPassword, { mode: 0o600 })
  const { owner } = cluster.account
  if (owner) {
    chownSync(draft, owner.uid, owner.gid)
    chownSync(passwordFile, owner.uid, owner.gid)
  }
  try {
    await run(cluster, cluster.binaries.initdb, [
      `--pgdata=${draft}`,
      '--username=postgres',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      // Without these an unset LANG gives SQL_ASCII.
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      '--no-instructions',
      '--no-sync',
    ])
  } finally {
    rmSync(passwordFile, { force: true })
  }
  renameSync(draft, cluster.folder)
}

/** A free loopback port. Someone may take it before PostgreSQL does, which is why starting is tried again. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })

/**
 * Removes a lock file whose process is gone, or is by now some other program: a pid that was given to another
 * process of the same user would block the server for ever.
 */
const clearStaleLock = (folder: string): void => {
  const lock = join(folder, 'postmaster.pid')
  if (!existsSync(lock)) return
  const pid = Number(readFileSync(lock, 'utf8').split('\n')[0])
  const commandLine = `/proc/${pid}/cmdline`
  const isOurs = existsSync(commandLine)
    ? readFileSync(commandLine, 'utf8').includes(folder)
    : process.platform !== 'linux' && isAlive(pid)
  if (!isOurs) rmSync(lock, { force: true })
}

export type Running = { port: number; process: ChildProcess }

const launch = async (
  cluster: Cluster,
  settings: string[],
  ready: (port: number) => Promise<void>,
): Promise<Running | string> => {
  clearStaleLock(cluster.folder)
  const port = await freePort()
  const log = openSync(cluster.logPath, 'w', 0o600)
  const [program, argv] = cluster.account.wrap(cluster.binaries.postgres, [
    '-D',
    cluster.folder,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    // The default is the temp folder, where other users could find it.
    '-c',
    'unix_socket_directories=',
    ...settings.flatMap((setting) => ['-c', setting]),
  ])
  // Its own process group: Ctrl-C in a terminal is ours to answer, and the database goes last.
  const child = spawn(program, argv, { cwd: '/', stdio: ['ignore', log, log], detached: true })
  let exited = false
  child.on('exit', () => {
    exited = true
  })
  child.on('error', () => {
    exited = true
  })
  child.unref()
  const deadline = Date.now() + 20_000
  while (!exited && Date.now() < deadline) {
    try {
      await ready(port)
      return { port, process: child }
    } catch {
      await sleep(25)
    }
  }
  if (!exited) child.kill('SIGQUIT')
  return readFileSync(cluster.logPath, 'utf8').trim().slice(-400)
}

/**
 * Starts the server, waiting out what a killed predecessor leaves for a second or two (its lock file, or a shared
 * memory block that a busy backend still holds).
 * @throws AppError `unavailable`/`embedded_postgres_start` with the end of its log
 */
export const start = async (
  cluster: Cluster,
  settings: string[],
  ready: (port: number) => Promise<void>,
): Promise<Running> => {
  let complaint = ''
  for (let attempt = 0; attempt < 8; attempt++) {
    const outcome = await launch(cluster, settings, ready)
    if (typeof outcome !== 'string') return outcome
    complaint = outcome
    await sleep(500)
  }
  throw new AppError(
    'unavailable',
    'embedded_postgres_start',
    `The embedded PostgreSQL does not start. Its log ends: ${complaint}`,
  )
}

/** Fast shutdown (SIGINT): running statements are cancelled, everything committed is kept. */
export const stop = async (postmaster: ProcessMark): Promise<void> => {
  const deadline = Date.now() + 15_000
  if (isRunning(postmaster)) process.kill(postmaster.pid, 'SIGINT')
  while (isRunning(postmaster) && Date.now() < deadline) await sleep(20)
}

/** Runs statements as one role of the cluster, on a connection of their own. */
export const withClient = async <T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
