import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { AppError } from '../../src/core/errors.ts'

const masterKey = Buffer.alloc(32, 7).toString('base64')
const databaseUrl = 'postgres://portico_app:hunter2@db.internal:5432/portico'

/** The least that a real installation sets. */
const production = {
  PORTICO_BASE_URL: 'https://login.example.com',
  DATABASE_URL: databaseUrl,
  PORTICO_MASTER_KEY: masterKey,
}

const folder = mkdtempSync(join(tmpdir(), 'portico-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fileWith = (content: string): string => {
  const path = join(folder, `secret-${Math.random()}`)
  writeFileSync(path, content)
  return path
}

/** The faults of an environment, one a line, and none where it loads. */
const faultsOf = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ kind: 'invalid', code: 'configuration' })
    const [head, ...faults] = (error as AppError).message.split('\n')
    expect(head).toBe(`The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:`)
    return faults.map((fault) => fault.replace(/^ {2}- /, ''))
  }
}

describe('an empty environment', () => {
  test('is enough to try Portico: embedded database, localhost, nobody trusted', () => {
    expect(loadConfig({})).toEqual({
      databaseUrl: undefined,
      databaseMigrationUrl: undefined,
      baseUrl: 'http://localhost:3000',
      port: 3000,
      managementPort: 3001,
      listenAddress: '127.0.0.1',
      dataDir: '.portico',
      masterKey: undefined,
      trustedProxies: [],
      logLevel: 'info',
      outboundAllowLoopback: false,
      samlSecondOpinion: true,
      databasePoolSize: 10,
    })
  })

  test('is what empty variables amount to', () => {
    expect(loadConfig({ PORTICO_PORT: '', DATABASE_URL: '', DATABASE_URL_FILE: '' })).toEqual(loadConfig({}))
  })
})

describe('the configuration', () => {
  test('takes every variable as it is documented', () => {
    expect(
      loadConfig({
        ...production,
        DATABASE_MIGRATION_URL: 'postgresql://portico_owner:pw@db.internal/portico',
        PORTICO_PORT: '0',
        PORTICO_MANAGEMENT_PORT: '65535',
        PORTICO_LISTEN_ADDRESS: '::',
        PORTICO_DATA_DIR: '/var/lib/portico',
        PORTICO_TRUSTED_PROXIES: ' 10.0.0.0/8, fd00::/8 ,',
        PORTICO_LOG_LEVEL: 'debug',
        PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'off',
        PORTICO_SAML_SECOND_OPINION: 'off',
        PORTICO_DATABASE_POOL_SIZE: '25',
        HOME: '/home/portico',
      }),
    ).toEqual({
      databaseUrl,
      databaseMigrationUrl: 'postgresql://portico_owner:pw@db.internal/portico',
      baseUrl: 'https://login.example.com',
      port: 0,
      managementPort: 65535,
      listenAddress: '::',
      dataDir: '/var/lib/portico',
      masterKey,
      trustedProxies: ['10.0.0.0/8', 'fd00::/8'],
      logLevel: 'debug',
      outboundAllowLoopback: false,
      samlSecondOpinion: false,
      databasePoolSize: 25,
    })
  })

  test('cannot be changed once it is read', () => {
    const config = loadConfig({ PORTICO_TRUSTED_PROXIES: '10.0.0.0/8' })
    expect(() => Object.assign(config, { baseUrl: 'https://evil.example' })).toThrow(TypeError)
    expect(() => (config.trustedProxies as string[]).push('0.0.0.0/0')).toThrow(TypeError)
  })

  test('with many faults names them all at once, each with the variable, what is wrong and an example', () => {
    const faults = faultsOf({
      PORTICO_BASE_URL: 'https://login.example.com/portico',
      PORTICO_PORT: 'abc',
      PORTICO_LOG_LEVEL: 'loud',
      PORTICO_TRUSTED_PROXIES: '10.0.0.0/8,everyone',
      PORTICO_DATABASE_POOL_SIZE: '0',
      DATABASE_URL: 'mysql://db.internal/portico',
      PORTICO_PROT: '3000',
    })
    expect(faults).toEqual([
      'PORTICO_PROT is not a variable Portico knows; docs/configuration.md lists them.',
      'DATABASE_URL is not a postgres:// URL. Example: postgres://portico_app:…@db.internal:5432/portico',
      'PORTICO_BASE_URL must be an origin: scheme, host and port only. Example: https://login.example.com',
      'PORTICO_PORT must be a whole number from 0 to 65535. Example: 3000',
      'PORTICO_TRUSTED_PROXIES has “everyone”, which is not a CIDR. Example: 10.0.0.0/8,fd00::/8',
      'PORTICO_LOG_LEVEL must be one of silent, fatal, error, warn, info, debug or trace. Example: info',
      'PORTICO_DATABASE_POOL_SIZE must be a whole number from 1 to 200. Example: 10',
    ])
  })

  test('names what variables demand of one another beside what is wrong with one alone', () => {
    const faults = faultsOf({
      PORTICO_BASE_URL: 'https://login.example.com',
      PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'on',
      PORTICO_PORT: 'abc',
    })
    expect(faults).toEqual([
      expect.stringMatching(/^PORTICO_PORT must be /),
      expect.stringMatching(
        /^DATABASE_URL is missing; with an https base URL the embedded database is refused\. Example: postgres:/,
      ),
      'PORTICO_OUTBOUND_ALLOW_LOOPBACK must be off with an https base URL. Example: off',
    ])
  })

  test('does not call missing what is there and wrong', () => {
    expect(faultsOf({ ...production, DATABASE_URL: 'nonsense' })).toEqual([
      expect.stringMatching(/^DATABASE_URL is not a postgres:\/\/ URL\./),
    ])
    expect(faultsOf({ ...production, PORTICO_MASTER_KEY: 'nonsense' })).toEqual([
      'PORTICO_MASTER_KEY must be 32 random bytes in base64. Example: the output of: openssl rand -base64 32',
    ])
  })

  test('never repeats a secret in a fault', () => {
    const faults = faultsOf({
      DATABASE_URL: 'mysql://root:hunter2@db.internal/portico',
      DATABASE_MIGRATION_URL_FILE: fileWith('hunter2'),
      PORTICO_MASTER_KEY: 'hunter2',
    })
    expect(faults).toHaveLength(3)
    expect(faults.join()).not.toContain('hunter2')
  })
})

describe('an unknown variable', () => {
  test.each([
    'PORTICO_PROT',
    'PORTICO_DATABASE_URL',
    'PORTICO_',
    'PORTICO_PORT_FILE',
    'PORTICO_BASE_URL_FILE',
  ])('%s is a fault, even an empty one', (name) => {
    const fault = `${name} is not a variable Portico knows; docs/configuration.md lists them.`
    expect(faultsOf({ [name]: 'x' })).toEqual([fault])
    expect(faultsOf({ [name]: '' })).toEqual([fault])
  })

  test('that is not ours is none of our business', () => {
    expect(faultsOf({ PATH: '/bin', PORT: 'abc', portico_port: 'abc', PGPASSWORD: 'x' })).toEqual([])
  })
})

describe('a secret from a file', () => {
  test('is read without the line break that editors leave', () => {
    const config = loadConfig({
      DATABASE_URL_FILE: fileWith(`${databaseUrl}\n`),
      PORTICO_MASTER_KEY_FILE: fileWith(`${masterKey}\r\n`),
      DATABASE_MIGRATION_URL_FILE: fileWith('postgres://portico_owner@db.internal/portico'),
    })
    expect(config).toMatchObject({ databaseUrl, masterKey })
    expect(config.databaseMigrationUrl).toBe('postgres://portico_owner@db.internal/portico')
  })

  test('that is not there is a fault that names the file, and nothing else is called missing for it', () => {
    const file = join(folder, 'nothing-here')
    expect(faultsOf({ ...production, PORTICO_MASTER_KEY: '', PORTICO_MASTER_KEY_FILE: file })).toEqual([
      `PORTICO_MASTER_KEY_FILE cannot be read (ENOENT): ${file}. Example: /run/secrets/portico_master_key`,
    ])
    expect(faultsOf({ PORTICO_MASTER_KEY_FILE: folder })).toEqual([
      expect.stringMatching(/^PORTICO_MASTER_KEY_FILE cannot be read \(EISDIR\)/),
    ])
  })

  test('that is empty is a fault of its content', () => {
    expect(faultsOf({ DATABASE_URL_FILE: fileWith('\n'), PORTICO_MASTER_KEY: masterKey })).toEqual([
      expect.stringMatching(/^DATABASE_URL is not a postgres:\/\/ URL/),
    ])
  })

  test('given both ways is a fault, even where both say the same', () => {
    expect(faultsOf({ ...production, PORTICO_MASTER_KEY_FILE: fileWith(masterKey) })).toEqual([
      'PORTICO_MASTER_KEY and PORTICO_MASTER_KEY_FILE are both set; keep one.',
    ])
  })
})

describe('the base URL', () => {
  test.each([
    ['https://login.example.com', 'https://login.example.com'],
    ['https://login.example.com/', 'https://login.example.com'],
    ['https://LOGIN.example.com:443', 'https://login.example.com'],
    ['https://login.example.com:8443', 'https://login.example.com:8443'],
  ])('%s is accepted', (given, origin) => {
    expect(loadConfig({ ...production, PORTICO_BASE_URL: given }).baseUrl).toBe(origin)
  })

  test.each([
    'http://localhost:3000',
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
    'http://broker.localhost',
  ])('%s is accepted, for trying', (given) => {
    expect(loadConfig({ PORTICO_BASE_URL: given }).baseUrl).toBe(given)
  })

  test.each([
    'http://login.example.com',
    'http://localhost.example.com',
    'http://notlocalhost',
    'http://10.0.0.1',
    'http://0.0.0.0:3000',
    'http://127.0.0.1.example.com',
    'ftp://localhost',
  ])('%s is refused: neither https nor this machine', (given) => {
    expect(faultsOf({ PORTICO_BASE_URL: given })).toEqual([
      'PORTICO_BASE_URL must be https; http is accepted for localhost only. Example: https://login.example.com',
    ])
  })

  test.each([
    'https://login.example.com/portico',
    'https://login.example.com/?x',
    'https://login.example.com/#x',
    'https://admin@login.example.com',
    'https://:pw@login.example.com',
  ])('%s is refused: more than an origin', (given) => {
    expect(faultsOf({ ...production, PORTICO_BASE_URL: given })).toEqual([
      expect.stringMatching(/^PORTICO_BASE_URL must be an origin: /),
    ])
  })

  test.each(['login.example.com', '/', 'https://'])('%s is refused: no URL', (given) => {
    expect(faultsOf({ PORTICO_BASE_URL: given })).toEqual([
      'PORTICO_BASE_URL is not a URL. Example: https://login.example.com',
    ])
  })
})

describe('a real installation', () => {
  test('brings its own database: https with the embedded one is refused', () => {
    expect(faultsOf({ PORTICO_BASE_URL: 'https://login.example.com' })).toEqual([
      expect.stringMatching(/^DATABASE_URL is missing;/),
    ])
    expect(faultsOf(production)).toEqual([])
  })

  test('with its own database brings its own master key', () => {
    expect(faultsOf({ DATABASE_URL: databaseUrl })).toEqual([
      'PORTICO_MASTER_KEY_FILE is missing; with your own database you keep the master key. Make one with: openssl rand -base64 32',
    ])
    expect(faultsOf({ DATABASE_URL: databaseUrl, PORTICO_MASTER_KEY: masterKey })).toEqual([])
  })

  test('does not let outbound requests reach itself', () => {
    expect(faultsOf({ ...production, PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'on' })).toEqual([
      'PORTICO_OUTBOUND_ALLOW_LOOPBACK must be off with an https base URL. Example: off',
    ])
    expect(faultsOf({ PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'on' })).toEqual([])
  })
})

describe('a value that cannot be meant', () => {
  test.each([
    [
      'PORTICO_PORT',
      ['-1', '65536', '3000.5', '0x10', '1e3', ' 80', '8 0', 'NaN', '99999999999'],
      'must be a whole number from 0 to 65535',
    ],
    ['PORTICO_MANAGEMENT_PORT', ['abc'], 'must be a whole number from 0 to 65535'],
    ['PORTICO_DATABASE_POOL_SIZE', ['0', '201', 'many'], 'must be a whole number from 1 to 200'],
    ['PORTICO_LISTEN_ADDRESS', ['localhost', '127.1', '256.0.0.1', '*'], 'is not an IP address'],
    ['PORTICO_OUTBOUND_ALLOW_LOOPBACK', ['true', '1', 'ON'], 'must be one of on or off'],
    // “10/8” means 0.0.0.10/8 to a lenient parser: trust for the wrong network.
    ['PORTICO_TRUSTED_PROXIES', ['10/8', '10.0.0.1', '10.0.0.0/33', '10.0.0.0/8;fd00::/8'], 'has “'],
    ['PORTICO_MASTER_KEY', ['a', 'A'.repeat(44), `${masterKey}=`], 'must be 32 random bytes in base64'],
  ])('of %s is refused in plain words', (name, values, saying) => {
    for (const value of values) {
      const faults = faultsOf({ [name]: value })
      expect(faults).toHaveLength(1)
      expect(faults[0]?.startsWith(`${name} ${saying}`)).toBe(true)
      expect(faults[0]).toMatch(/\. Example: ./)
    }
  })

  test('is refused in no words of the validator’s, whatever it is', () => {
    const names = [
      'PORTICO_PORT',
      'PORTICO_BASE_URL',
      'PORTICO_LISTEN_ADDRESS',
      'PORTICO_LOG_LEVEL',
      'DATABASE_URL',
    ]
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.string({ minLength: 1 }), (name, value) => {
        fc.pre(!value.includes('\n'))
        for (const fault of faultsOf({ [name]: value })) {
          expect(fault).toMatch(
            new RegExp(`^(${name}|PORTICO_MASTER_KEY_FILE) (is|must) .*(Example|Make one with): `),
          )
          expect(fault).not.toMatch(/Invalid|expected|received/)
        }
      }),
    )
  })
})
