import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { AppError } from '../core/errors.ts'

const FILE = 'master-key'

const decode = (text: string, where: string): Buffer => {
  const key = Buffer.from(text.trim(), 'base64')
  if (key.length !== 32)
    throw new AppError('invalid', 'master_key', `${where} does not hold 32 bytes in base64.`)
  return key
}

const readOrMake = (path: string): string => {
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(path, 'utf8')
}

/**
 * The key-encryption key: as configured, or, beside an embedded database only, made in the data directory on first
 * start (mode 0600; `wx`, so that of two first starts one makes it).
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
  mkdirSync(config.dataDir, { recursive: true })
  const path = join(config.dataDir, FILE)
  return decode(readOrMake(path), path)
}
