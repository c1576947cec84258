import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { AppError } from '../core/errors.ts'

const FILE = 'master-key'
const KEY = /^[A-Za-z0-9+/]{43}=$/

const decode = (text: string, where: string): Buffer => {
  // Node's decoder skips what is not base64: a damaged key would quietly be another key.
  if (!KEY.test(text.trim()))
    throw new AppError('invalid', 'master_key', `${where} does not hold 32 bytes in base64.`)
  return Buffer.from(text.trim(), 'base64')
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown'

const readKey = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Makes the key beside its place and links it there: of two first starts one wins, and neither reads half a key. */
const makeKey = (path: string): void => {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  writeFileSync(draft, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

const readOrMake = (dataDir: string, path: string): string => {
  try {
    mkdirSync(dataDir, { recursive: true })
    const key = readKey(path)
    if (key !== undefined) return key
    makeKey(path)
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new AppError('invalid', 'master_key', `${path} cannot be read or made (${codeOf(cause)}).`, {
      cause,
    })
  }
}

/**
 * The key-encryption key: as configured, or, beside an embedded database only, made in the data directory on first
 * start (mode 0600).
 * @throws AppError `invalid`/`master_key`
 */
export const loadMasterKey = (config: Pick<Config, 'masterKey' | 'databaseUrl' | 'dataDir'>): Buffer => {
  if (config.masterKey !== undefined) return decode(config.masterKey, 'PORTICO_MASTER_KEY')
  if (config.databaseUrl !== undefined) {
    throw new AppError(
      'invalid',
      'master_key',
      'PORTICO_MASTER_KEY_FILE is missing; with your own database you keep the master key.',
    )
  }
  const path = join(config.dataDir, FILE)
  return decode(readOrMake(config.dataDir, path), path)
}
