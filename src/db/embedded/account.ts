import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { AppError } from '../../core/errors.ts'

/** The operating-system account the server runs as, and how a command is put under it. */
export type Account = {
  /** Owner of the data directory; undefined: whoever we are. */
  owner: { uid: number; gid: number } | undefined
  /** Prefixes a command line so that it runs as that account and goes down with us. */
  wrap: (command: string, args: string[]) => [string, string[]]
}

const idOf = (flag: '-u' | '-g', user: string): number | undefined => {
  try {
    return Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return undefined
  }
}

const ownerAccount = (): { uid: number; gid: number } => {
  // PostgreSQL refuses to run as root, and wants an account that has a name.
  for (const user of ['postgres', 'nobody']) {
    const uid = idOf('-u', user)
    const gid = idOf('-g', user)
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  throw new AppError(
    'unsupported',
    'embedded_postgres_account',
    'PostgreSQL does not run as root, and this machine has neither a postgres nor a nobody account. Run Portico as a plain user.',
  )
}

const ancestors = (path: string): string[] => {
  const parent = dirname(path)
  return parent === path ? [path] : [path, ...ancestors(parent)]
}

/** True where some folder on the way is closed to others, as /root usually is. */
const isWalledOff = (path: string): boolean =>
  ancestors(dirname(path)).some((folder) => existsSync(folder) && (statSync(folder).mode & 0o001) === 0)

const findSetpriv = (): string | undefined =>
  ['/usr/bin/setpriv', '/bin/setpriv', '/usr/sbin/setpriv'].find((path) => existsSync(path))

/**
 * As root: the postgres account through setpriv, with leave to walk through closed folders where the checkout or the
 * data lie behind one. As a plain user: ourselves. Either way the kernel stops the server cleanly when we are killed
 * with -9, where the platform can (`--pdeathsig`).
 */
export const serverAccount = (paths: string[]): Account => {
  const setpriv = findSetpriv()
  if (process.getuid?.() !== 0) {
    return {
      owner: undefined,
      wrap: (command, args) =>
        setpriv ? [setpriv, ['--pdeathsig', 'INT', command, ...args]] : [command, args],
    }
  }
  if (!setpriv) {
    throw new AppError(
      'unsupported',
      'embedded_postgres_account',
      'PostgreSQL does not run as root, and setpriv (util-linux) is missing. Run Portico as a plain user.',
    )
  }
  const owner = ownerAccount()
  const walk = paths.some(isWalledOff)
    ? ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search']
    : []
  const identity = [
    `--reuid=${owner.uid}`,
    `--regid=${owner.gid}`,
    '--clear-groups',
    ...walk,
    '--pdeathsig',
    'INT',
  ]
  return { owner, wrap: (command, args) => [setpriv, [...identity, command, ...args]] }
}
