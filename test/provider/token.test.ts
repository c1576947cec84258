import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { issueCode, openSession, person, type Tenant, tenant } from '../tokens/support/installation.ts'
import {
  basic,
  credentials,
  type RegisteredClient,
  registerClient,
  tokenRequest as request,
} from './support/provider.ts'

const REDIRECT_URI = 'https://app.test/callback'

describe('the token endpoint', () => {
  const db = testDatabase()
  let broker: TestBroker
  let acme: Tenant
  let client: RegisteredClient
  let other: RegisteredClient

  beforeAll(async () => {
    broker = await startBroker({ db: db.app })
    acme = await tenant(broker.services, broker.ctx, 'acme.test')
    client = await registerClient(broker, { redirectUris: [REDIRECT_URI] })
    other = await registerClient(broker, { redirectUris: [REDIRECT_URI] })
  })

  afterAll(() => broker.close())

  const grant = async (): Promise<Record<string, string>> => {
    const name = `${randomBytes(4).toString('hex')}@acme.test`
    const user = await broker.services.users.create(acme.ctx, person(name), { directoryId: null })
    const { session } = await openSession(broker.services, acme, user.id, systemClock.now())
    const { code, verifier } = await issueCode(broker.services, acme, session, client)
    return {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    }
  }

  test('a client authenticates by Basic or in the body', async () => {
    const inHeader = await request(broker, await grant(), basic(client))
    expect(inHeader.status).toBe(200)
    expect(inHeader.headers.get('cache-control')).toBe('no-store')
    expect(inHeader.headers.get('pragma')).toBe('no-cache')
    expect(Object.keys(inHeader.body).sort()).toEqual(
      ['access_token', 'expires_in', 'id_token', 'refresh_token', 'scope', 'token_type'].sort(),
    )
    const inBody = await request(broker, { ...(await grant()), ...credentials(client) })
    expect(inBody.status).toBe(200)
  })

  test('the halves of Basic are form-encoded, as RFC 6749 has them', async () => {
    const encoded = `${client.clientId.replaceAll('_', '%5F')}:${client.clientSecret.replaceAll('_', '%5f')}`
    const authorization = `Basic ${Buffer.from(encoded).toString('base64')}`
    expect((await request(broker, await grant(), { authorization })).status).toBe(200)
  })

  test('a client that authenticates in two ways at once is refused', async () => {
    const form = await grant()
    const twice = await request(broker, { ...form, ...credentials(client) }, basic(client))
    expect(twice).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect((await request(broker, form, basic(client))).status).toBe(200)
  })

  test('a client_id beside Basic has to be the same one', async () => {
    const form = await grant()
    const mixed = await request(broker, { ...form, client_id: other.clientId }, basic(client))
    expect(mixed).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect((await request(broker, { ...form, client_id: client.clientId }, basic(client))).status).toBe(200)
  })

  const strangers: [string, () => { form?: Record<string, string>; headers?: Record<string, string> }][] = [
    ['nothing', () => ({})],
    ['an ID without a secret', () => ({ form: { client_id: client.clientId } })],
    [
      'the secret of another client',
      () => ({ form: { ...credentials(client), client_secret: other.clientSecret } }),
    ],
    ['the ID of another client', () => ({ form: { ...credentials(client), client_id: other.clientId } })],
    [
      'an unknown client',
      () => ({ form: { client_id: 'cli_00000000000000000000000000', client_secret: 'x' } }),
    ],
    [
      'a secret with one character changed',
      () => ({
        headers: basic({
          ...client,
          clientSecret: `${client.clientSecret.slice(0, -1)}${client.clientSecret.endsWith('0') ? '1' : '0'}`,
        }),
      }),
    ],
    ['Basic that is no base64', () => ({ headers: { authorization: 'Basic ???' } })],
    [
      'Basic without a colon',
      () => ({ headers: { authorization: `Basic ${Buffer.from('x').toString('base64')}` } }),
    ],
    [
      'Basic with a broken escape',
      () => ({ headers: { authorization: `Basic ${Buffer.from('%E0:%').toString('base64')}` } }),
    ],
    ['a bearer token', () => ({ headers: { authorization: `Bearer ${client.clientSecret}` } })],
  ]

  test.each(strangers)(
    'a caller with %s is not authenticated, and the code is not spent',
    async (_, attempt) => {
      const form = await grant()
      const { form: more = {}, headers = {} } = attempt()
      const refused = await request(broker, { ...form, ...more }, headers)
      expect(refused).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
      expect(refused.headers.get('www-authenticate')).toContain('Basic')
      expect(refused.headers.get('cache-control')).toBe('no-store')
      expect((await request(broker, form, basic(client))).status).toBe(200)
    },
  )

  test('a disabled client is not authenticated', async () => {
    const leaving = await registerClient(broker)
    const form = { grant_type: 'refresh_token', refresh_token: 'x' }
    expect((await request(broker, form, basic(leaving))).body.error).toBe('invalid_grant')
    await db.app('clients').where({ id: leaving.id }).update({ disabled_at: new Date() })
    expect((await request(broker, form, basic(leaving))).body.error).toBe('invalid_client')
  })

  const malformed: [string, (form: Record<string, string>) => Record<string, string> | string, string][] = [
    ['without a grant type', ({ grant_type: _, ...form }) => form, 'invalid_request'],
    ['with an empty grant type', (form) => ({ ...form, grant_type: '' }), 'invalid_request'],
    ['with the password grant', (form) => ({ ...form, grant_type: 'password' }), 'unsupported_grant_type'],
    [
      'with a grant type out of JavaScript',
      (form) => ({ ...form, grant_type: '__proto__' }),
      'unsupported_grant_type',
    ],
    ['without a code', ({ code: _, ...form }) => form, 'invalid_request'],
    ['without a verifier', ({ code_verifier: _, ...form }) => form, 'invalid_request'],
    ['without a redirect URI', ({ redirect_uri: _, ...form }) => form, 'invalid_request'],
    [
      'with another redirect URI',
      (form) => ({ ...form, redirect_uri: 'https://app.test/other' }),
      'invalid_grant',
    ],
    ['with another verifier', (form) => ({ ...form, code_verifier: 'v'.repeat(43) }), 'invalid_grant'],
    ['with its code twice', (form) => `${new URLSearchParams(form)}&code=x`, 'invalid_request'],
    ['with an unknown parameter twice', (form) => `${new URLSearchParams(form)}&a=1&a=1`, 'invalid_request'],
    ['for a refresh without a token', () => ({ grant_type: 'refresh_token' }), 'invalid_request'],
    [
      'for a refresh with a code',
      ({ code = '' }) => ({ grant_type: 'refresh_token', refresh_token: code }),
      'invalid_grant',
    ],
  ]

  test.each(malformed)('a request %s is refused, and the honest one passes', async (_, bend, error) => {
    const form = await grant()
    const refused = await request(broker, bend(form), basic(client))
    expect(refused).toMatchObject({
      status: 400,
      body: { error, error_description: expect.any(String), reference: expect.stringMatching(/^req_/) },
    })
    expect(JSON.stringify(refused.body)).not.toContain(form.code)
    expect((await request(broker, form, basic(client))).status).toBe(200)
  })

  test('a verifier of fewer than 43 characters is refused, though its hash matches', async () => {
    const form = await grant()
    const challenge = createHash('sha256').update('short').digest('base64url')
    await db.owner.raw(`update authorization_codes set code_challenge = ? where id = ?`, [
      challenge,
      idOf(form),
    ])
    const refused = await request(broker, { ...form, code_verifier: 'short' }, basic(client))
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  const idOf = ({ code = '' }: Record<string, string>): string =>
    code.slice(-75, -43).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

  test.each(['application/json', 'multipart/form-data; boundary=x', 'text/plain', ''])(
    'a body of type “%s” is refused as unsupported',
    async (type) => {
      const form = await grant()
      const refused = await fetch(`${broker.baseUrl}/oauth2/token`, {
        method: 'POST',
        headers: { ...basic(client), ...(type === '' ? {} : { 'content-type': type }) },
        body:
          type === 'application/json'
            ? JSON.stringify(form)
            : Buffer.from(new URLSearchParams(form).toString()),
      })
      expect(refused.status).toBe(415)
      expect(await refused.json()).toMatchObject({ error: 'invalid_request' })
      const withCharset = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' }
      expect((await request(broker, form, { ...basic(client), ...withCharset })).status).toBe(200)
    },
  )

  test('a body beyond 16 KB is refused as too large, quickly', async () => {
    const form = { ...(await grant()), padding: 'x'.repeat(16 * 1024) }
    const started = performance.now()
    const refused = await request(broker, form, basic(client))
    expect(refused).toMatchObject({ status: 413, body: { error: 'invalid_request' } })
    expect(performance.now() - started).toBeLessThan(500)
    expect((await request(broker, { ...form, padding: 'x'.repeat(8 * 1024) }, basic(client))).status).toBe(
      200,
    )
  })

  test.each(['GET', 'PUT', 'DELETE'])('%s is not allowed', async (method) => {
    const refused = await fetch(`${broker.baseUrl}/oauth2/token`, { method })
    expect(refused.status).toBe(405)
    expect(refused.headers.get('allow')).toContain('POST')
  })

  test('a parameter called __proto__ changes nothing', async () => {
    const form = `${new URLSearchParams(await grant())}&__proto__=x&constructor=y`
    expect((await request(broker, form, basic(client))).status).toBe(200)
    expect({}).not.toHaveProperty('x')
  })
})
