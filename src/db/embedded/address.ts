import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../core/errors.ts'

/** Passwords of the three roles that can log in; made once, before the cluster is. */
export type RolePasswords = { superuser: string; owner: string; app: string }

/** Where the running server listens and which process answers for stopping it. */
export type Address = { port: number; postmasterPid: number; ownerPid: number }

const readJson = <T>(path: string): T | undefined => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch {
    return undefined
  }
}

/** Whole or not at all, and for our eyes only. */
const writePrivately = (path: string, value: unknown): void => {
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, JSON.stringify(value), { mode: 0o600 })
  renameSync(draft, path)
}

const addressPath = (dataDir: string): string => join(dataDir, 'postgres-address.json')
const passwordsPath = (dataDir: string): string => join(dataDir, 'postgres-passwords.json')

export const readAddress = (dataDir: string): Address | undefined => readJson(addressPath(dataDir))
export const publishAddress = (dataDir: string, address: Address): void =>
  writePrivately(addressPath(dataDir), address)
export const withdrawAddress = (dataDir: string): void => rmSync(addressPath(dataDir), { force: true })

export const readPasswords = (dataDir: string): RolePasswords | undefined => readJson(passwordsPath(dataDir))

export const makePasswords = (dataDir: string): RolePasswords => {
  const password = () => randomBytes(24).toString('base64url')
  const passwords = { superuser: password(), owner: password(), app: password() }
  writePrivately(passwordsPath(dataDir), passwords)
  return passwords
}

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** One process at a time starts, adopts or stops the server of a data directory. A dead holder's lock is taken. */
export const withStartLock = async <T>(dataDir: string, work: () => Promise<T>): Promise<T> => {
  const path = join(dataDir, 'postgres-start.lock')
  const deadline = Date.now() + 60_000
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const holder = readJson<number>(path)
      if (holder !== undefined && !isAlive(holder)) rmSync(path, { force: true })
      else if (Date.now() > deadline) {
        throw new AppError(
          'unavailable',
          'embedded_postgres_busy',
          `Another process is starting the embedded database in ${dataDir} and does not finish.`,
        )
      } else await sleep(50)
    }
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}
