import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Account, serverAccount } from '../../src/db/embedded/account.ts'
import { readAddress } from '../../src/db/embedded/address.ts'
import { withClient } from '../../src/db/embedded/cluster.ts'
import { type EmbeddedDatabase, openEmbedded } from '../../src/db/embedded/embedded.ts'
import { isAlive } from '../../src/db/embedded/processes.ts'

const program = fileURLToPath(new URL('./embedded-process.ts', import.meta.url))
const checkout = fileURLToPath(new URL('../..', import.meta.url))

/** A plain account: somebody unprivileged where the tests run as root, ourselves where they don't. */
export const plainAccount = (dataDir: string): Account => serverAccount([program, join(dataDir, 'postgres')])

export type OtherProcess = {
  owned: boolean
  urls: EmbeddedDatabase['urls']
  /** Asks it to stop the database if it owns it, and to end. */
  stop: () => Promise<void>
  /** SIGKILL: it cleans up nothing. */
  kill: () => Promise<void>
}

const children = new Set<ChildProcess>()
const folders = new Set<string>()

export const makeDataDir = (account?: Account): string => {
  const folder = mkdtempSync(join(tmpdir(), 'portico-embedded-'))
  folders.add(folder)
  if (account?.owner) chownSync(folder, account.owner.uid, account.owner.gid)
  return folder
}

const firstLine = async (child: ChildProcess): Promise<string> => {
  let complaint = ''
  child.stderr?.on('data', (chunk) => {
    complaint += chunk
  })
  const gone = once(child, 'exit').then(() => {
    throw new Error(`it ended before it opened anything: ${complaint}`)
  })
  const said = once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
  gone.catch(() => undefined)
  const [line] = await Promise.race([said, gone])
  return line as string
}

/** Opens the data directory from another process, as ourselves or as `account`. */
export const openElsewhere = async (dataDir: string, account?: Account): Promise<OtherProcess> => {
  const node = ['--import', 'tsx', program, dataDir]
  const [command, argv] = account ? account.wrap(process.execPath, node) : [process.execPath, node]
  const child = spawn(command, argv, { cwd: checkout, stdio: ['pipe', 'pipe', 'pipe'] })
  children.add(child)
  const ended = once(child, 'exit')
  const opened = JSON.parse(await firstLine(child)) as Pick<OtherProcess, 'owned' | 'urls'>
  return {
    ...opened,
    stop: async () => {
      child.stdin.write('stop\n')
      const [code] = await ended
      if (code !== 0) throw new Error(`it ended with ${code}`)
    },
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

export const openHere = (dataDir: string): Promise<EmbeddedDatabase> =>
  openEmbedded({ dataDir, settings: ['fsync=off'] })

/** A committed row; all of them are to be found again whatever happens. */
export const keep = (urls: EmbeddedDatabase['urls'], word: string): Promise<void> =>
  withClient(urls.owner, async (client) => {
    await client.query('create table if not exists kept (word text)')
    await client.query('insert into kept values ($1)', [word])
  })

export const kept = (urls: EmbeddedDatabase['urls']): Promise<string[]> =>
  withClient(urls.owner, async (client) => {
    const { rows } = await client.query<{ word: string }>('select word from kept order by word')
    return rows.map(({ word }) => word)
  })

export const answers = (urls: EmbeddedDatabase['urls']): Promise<boolean> =>
  withClient(urls.app, (client) => client.query('select 1')).then(
    () => true,
    () => false,
  )

export const postmasterOf = (dataDir: string): number => {
  const address = readAddress(dataDir)
  if (!address) throw new Error('no address is published')
  return address.postmaster.pid
}

/** Name, permissions and owner of every file beside the server's own folder. */
export const filesIn = (dataDir: string): { name: string; mode: string; uid: number }[] =>
  readdirSync(dataDir, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => {
      const { mode, uid } = statSync(join(dataDir, name))
      return { name, mode: (mode & 0o777).toString(8), uid }
    })
    .sort((a, b) => a.name.localeCompare(b.name))

/** Ends whatever a test left behind, by number. */
export const cleanUp = (): void => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
  for (const folder of folders) {
    const pid = readAddress(folder)?.postmaster.pid
    if (pid !== undefined && isAlive(pid)) process.kill(pid, 'SIGQUIT')
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }
}
