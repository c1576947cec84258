import { execFile } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { runCommand } from '../../src/cli/program.ts'
import { newUuid, toId } from '../../src/core/ids.ts'
import { startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { testMasterKey } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'

type Outcome = { code: number; stdout: string; stderr: string }

describe('the portico command', () => {
  const db = testDatabase()

  /** In this process: the same program, its environment, its two outputs and its exit code. */
  const portico = async (args: string[], environment: Record<string, string> = {}): Promise<Outcome> => {
    const outcome: Outcome = { code: 0, stdout: '', stderr: '' }
    const collect = (name: 'stdout' | 'stderr') =>
      vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
        outcome[name] += String(chunk)
        return true
      })
    vi.stubEnv('DATABASE_URL', db.urls.app)
    vi.stubEnv('DATABASE_MIGRATION_URL', db.urls.owner)
    vi.stubEnv('PORTICO_MASTER_KEY', testMasterKey.toString('base64'))
    vi.stubEnv('PORTICO_OUTBOUND_ALLOW_LOOPBACK', 'on')
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const spies = [collect('stdout'), collect('stderr')]
    try {
      await runCommand(args)
      outcome.code = Number(process.exitCode ?? 0)
    } finally {
      process.exitCode = 0
      for (const spy of spies) spy.mockRestore()
      vi.unstubAllEnvs()
    }
    return outcome
  }

  const json = async (
    args: string[],
    environment?: Record<string, string>,
  ): Promise<Record<string, unknown>> => {
    const outcome = await portico([...args, '--json'], environment)
    expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
    expect(outcome.stdout.trim().split('\n')).toHaveLength(1)
    return JSON.parse(outcome.stdout) as Record<string, unknown>
  }

  const newOrg = async (name: string, domain: string): Promise<string> =>
    String((await json(['org', 'create', '--name', name, '--domain', domain, '--verified'])).id)

  test('an organisation is made, listed and deleted with all that is its own', async () => {
    const org = await newOrg('Acme', 'acme.test')
    expect((await json(['org', 'list'])).organisations).toContainEqual({ id: org, name: 'Acme' })
    await json(['directory', 'create', '--org', org])
    expect(await json(['org', 'delete', org])).toEqual({ deleted: org })
    expect((await json(['org', 'list'])).organisations).not.toContainEqual({ id: org, name: 'Acme' })
  })

  test('a domain is claimed once, and the organisation is not made without it', async () => {
    await newOrg('First', 'claimed.test')
    const second = await portico([
      'org',
      'create',
      '--name',
      'Second',
      '--domain',
      'claimed.test',
      '--verified',
    ])
    expect(second).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'portico: The domain claimed.test is already claimed.\n',
    })
    expect(JSON.stringify(await json(['org', 'list']))).not.toContain('Second')
  })

  test('a SAML connection is a draft with its URLs until the metadata comes, from a URL or a file', async () => {
    const idp = await startSamlIdp({ people: [] })
    const org = await newOrg('Saml', 'saml.test')
    const draft = await json(['connection', 'create', '--org', org, '--type', 'saml', '--name', 'Okta'])
    expect(draft).toMatchObject({ status: 'draft', acsUrl: `http://localhost:3000/saml/${draft.id}/acs` })
    const early = await portico(['connection', 'enable', String(draft.id)])
    expect(early.code).toBe(1)
    expect(early.stderr).toContain('It lacks:')
    const file = join(mkdtempSync(join(tmpdir(), 'portico-cli-')), 'metadata.xml')
    writeFileSync(file, idp.metadataXml)
    await json(['connection', 'update', String(draft.id), '--metadata', file])
    expect(await json(['connection', 'enable', String(draft.id)])).toMatchObject({ status: 'enabled' })
    expect(await json(['connection', 'disable', String(draft.id)])).toMatchObject({ status: 'disabled' })
    const whole = await json([
      'connection',
      'create',
      '--org',
      org,
      '--type',
      'saml',
      '--name',
      'Whole',
      '--metadata',
      idp.metadataUrl,
    ])
    expect(whole).toMatchObject({ status: 'enabled' })
    expect(await json(['connection', 'delete', String(whole.id)])).toEqual({ deleted: whole.id })
    await idp.close()
  })

  test('any setting of a type is set by name, and judged by the type', async () => {
    const org = await newOrg('Settings', 'settings.test')
    const made = await json([
      'connection',
      'create',
      '--org',
      org,
      '--type',
      'saml',
      '--name',
      'Entra',
      '--set',
      'preset=entra',
      'allowCbc=true',
    ])
    for (const [setting, sentence] of [
      ['requestBinding=pigeon', /requestBinding/],
      ['noSuchSetting=1', /noSuchSetting/],
      ['nonsense', /is not a setting/],
    ] as const) {
      const refused = await portico(['connection', 'update', String(made.id), '--set', setting])
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(sentence)
    }
    await json([
      'connection',
      'update',
      String(made.id),
      '--set',
      'requestBinding=post',
      'attributes={"email":["mail"]}',
    ])
    const [row] = await db.owner('connections').where({ name: 'Entra' }).select('config')
    expect(row.config).toMatchObject({
      preset: 'entra',
      allowCbc: true,
      requestBinding: 'post',
      attributes: { email: ['mail'] },
    })
  })

  test('an OIDC connection takes its secret from a file, tests its issuer and never shows the secret', async () => {
    const idp = await startOidcIdp({ people: [] })
    const org = await newOrg('Oidc', 'oidc.test')
    const file = join(mkdtempSync(join(tmpdir(), 'portico-cli-')), 'secret')
    writeFileSync(file, 'a-secret-in-a-file\n')
    const made = await json([
      'connection',
      'create',
      '--org',
      org,
      '--type',
      'oidc',
      '--name',
      'Google',
      '--issuer',
      idp.issuer,
      '--client-id',
      'portico',
      '--client-secret-file',
      file,
      '--domain',
      'oidc.test',
    ])
    expect(made).toMatchObject({
      status: 'enabled',
      redirectUri: `http://localhost:3000/oidc/${made.id}/callback`,
    })
    expect(await json(['connection', 'test', String(made.id)])).toMatchObject({ ok: true })
    const listed = await portico(['connection', 'list', '--org', org, '--json'])
    expect(listed.stdout).toContain(String(made.id))
    expect(listed.stdout).not.toContain('a-secret-in-a-file')
    await idp.close()
    const down = await portico(['connection', 'test', String(made.id)])
    expect(down.code).toBe(1)
    expect(down.stderr).not.toContain('    at ')
  })

  test('a directory’s token works until it is rotated', async () => {
    const org = await newOrg('Scim', 'scim.test')
    const made = await json(['directory', 'create', '--org', org, '--profile', 'okta'])
    expect(made).toMatchObject({ baseUrl: `http://localhost:3000/scim/v2/${made.id}` })
    expect(String(made.token)).toMatch(/^ptc_scim_live_[0-9a-f]{64}_[A-Za-z0-9_-]{43}[0-9a-f]{8}$/)
    const rotated = await json(['directory', 'rotate-token', String(made.id)])
    expect(rotated.token).not.toBe(made.token)
    expect(await json(['directory', 'delete', String(made.id)])).toEqual({ deleted: made.id })
  })

  test('a client gets an ID and a secret once, and only for redirect addresses that are safe', async () => {
    const made = await json([
      'client',
      'create',
      '--name',
      'App',
      '--redirect-uri',
      'https://app.example.com/cb',
      '--audience',
      'https://api.example.com',
    ])
    expect(made).toMatchObject({ audience: 'https://api.example.com' })
    const listed = await portico(['client', 'list', '--json'])
    expect(listed.stdout).toContain(String(made.clientId))
    expect(listed.stdout).not.toContain(String(made.clientSecret))
    const unsafe = await portico([
      'client',
      'create',
      '--name',
      'App',
      '--redirect-uri',
      'http://app.example.com/cb',
    ])
    expect(unsafe).toMatchObject({ code: 1, stdout: '' })
  })

  test('migrations say where they stand', async () => {
    expect(await json(['migrate', 'status'])).toMatchObject({ missing: [], unknown: [] })
    expect(await json(['migrate', 'up'])).toEqual({ applied: [] })
  })

  test.each([
    ['an ID of nothing', ['org', 'delete', toId('org', newUuid())], /There is no such organisation/],
    ['an ID that is none', ['directory', 'delete', 'nonsense'], /There is no nonsense here/],
    [
      'a type that does not exist',
      ['connection', 'create', '--org', toId('org', newUuid()), '--type', 'ldap', '--name', 'x'],
      /There is no such organisation/,
    ],
    [
      'a file that cannot be read',
      ['connection', 'update', toId('con', newUuid()), '--metadata', '/no/such/file'],
      /There is no con_/,
    ],
    ['keys before the first start', ['keys', 'rotate'], /no signing keys yet/],
  ])('answers %s with a sentence and not a stack', async (_, args, sentence) => {
    const outcome = await portico(args)
    expect(outcome.code).toBe(1)
    expect(outcome.stdout).toBe('')
    expect(outcome.stderr).toMatch(sentence)
    expect(outcome.stderr).not.toContain('    at ')
  })

  test('a faulty configuration is told whole', async () => {
    const outcome = await portico(['org', 'list'], {
      PORTICO_BASE_URL: 'http://example.com',
      PORTICO_UNKNOWN: '1',
    })
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toContain('PORTICO_BASE_URL')
    expect(outcome.stderr).toContain('PORTICO_UNKNOWN')
  })

  test('the executable itself prints one object on stdout and nothing else', async () => {
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: db.urls.app,
      PORTICO_MASTER_KEY: testMasterKey.toString('base64'),
    }
    const run = promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', 'src/cli/portico.ts', 'org', 'list', '--json'],
      { env },
    )
    expect(JSON.parse((await run).stdout)).toHaveProperty('organisations')
  })
})
