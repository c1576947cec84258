import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessMark } from './processes.ts'

/** Passwords of the three roles that can log in; made once, before the cluster is. */
export type RolePasswords = { superuser: string; owner: string; app: string }

/** Where the running server listens and which process answers for stopping it. */
export type Address = { port: number; postmaster: ProcessMark; owner: ProcessMark }

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

/** The published address; undefined where there is none, or one that another version wrote. */
export const readAddress = (dataDir: string): Address | undefined => {
  const address = readJson<Partial<Address>>(addressPath(dataDir))
  return address?.port && address.postmaster && address.owner ? (address as Address) : undefined
}
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
