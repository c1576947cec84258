import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadMasterKey } from '../../src/crypto/master-key.ts'

let dataDir: string
let file: string

beforeEach(() => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'portico-key-')), 'data')
  file = join(dataDir, 'master-key')
})

afterEach(() => {
  rmSync(join(dataDir, '..'), { recursive: true, force: true })
})

const embedded = () => ({ masterKey: undefined, databaseUrl: undefined, dataDir })

const fault = (saying: RegExp) =>
  expect.objectContaining({ kind: 'invalid', code: 'master_key', message: expect.stringMatching(saying) })

describe('the master key beside an embedded database', () => {
  test('is made on first start, for nobody else to read, and is the same on every later one', () => {
    const key = loadMasterKey(embedded())
    expect(key).toHaveLength(32)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(dataDir)).toEqual(['master-key'])
    expect(loadMasterKey(embedded())).toEqual(key)
    expect(Buffer.from(readFileSync(file, 'utf8'), 'base64')).toEqual(key)
  })

  test('differs from one installation to the next', () => {
    const other = { ...embedded(), dataDir: join(dataDir, 'other') }
    expect(loadMasterKey(other)).not.toEqual(loadMasterKey(embedded()))
  })

  test.each([
    ['is empty', ''],
    ['is cut short', `${Buffer.alloc(31, 1).toString('base64')}\n`],
    ['holds one byte too many', Buffer.alloc(33, 1).toString('base64')],
    ['is not base64', 'not a key at all'],
    // Node's decoder would skip the stars and find 32 bytes.
    ['has been scribbled over', `**${Buffer.alloc(32, 1).toString('base64')}`],
  ])('is a fault where its file %s, and the file is left as it is', (_name, content) => {
    mkdirSync(dataDir)
    writeFileSync(file, content)
    expect(() => loadMasterKey(embedded())).toThrow(fault(/master-key does not hold 32 bytes in base64\.$/))
    expect(readFileSync(file, 'utf8')).toBe(content)
    writeFileSync(file, `${Buffer.alloc(32, 1).toString('base64')}\n`)
    expect(loadMasterKey(embedded())).toEqual(Buffer.alloc(32, 1))
  })

  test('is a fault where its file is a folder', () => {
    mkdirSync(file, { recursive: true })
    expect(() => loadMasterKey(embedded())).toThrow(fault(/master-key cannot be read or made \(EISDIR\)\.$/))
  })

  test('is a fault where the data directory is a file', () => {
    writeFileSync(dataDir, '')
    expect(() => loadMasterKey(embedded())).toThrow(fault(/master-key cannot be read or made \(EEXIST\)\.$/))
  })
})

describe('the master key with a database of one’s own', () => {
  const databaseUrl = 'postgres://portico_app@db.example/portico'

  test('is the configured one, and no file is made', () => {
    const masterKey = Buffer.alloc(32, 7).toString('base64')
    expect(loadMasterKey({ masterKey, databaseUrl, dataDir })).toEqual(Buffer.alloc(32, 7))
    expect(readdirSync(join(dataDir, '..'))).toEqual([])
  })

  test('is demanded, and none is made', () => {
    expect(() => loadMasterKey({ masterKey: undefined, databaseUrl, dataDir })).toThrow(
      fault(/^PORTICO_MASTER_KEY_FILE is missing/),
    )
    expect(readdirSync(join(dataDir, '..'))).toEqual([])
  })

  test('is a fault where it is malformed, and is not repeated in the message', () => {
    const masterKey = 'c2VjcmV0'
    expect(() => loadMasterKey({ masterKey, databaseUrl, dataDir })).toThrow(
      fault(/^PORTICO_MASTER_KEY does not hold 32 bytes in base64\.$/),
    )
  })
})
