import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromId, toId } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import { type OidcIdp, startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { createUserAgent, type UserAgent } from '../../src/demo/user-agent.ts'
import { testMasterKey } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { type Company, oidcCompany, someone } from '../support/scenario.ts'
import {
  type Asked,
  alice,
  ask,
  basic,
  bob,
  credentials,
  type Provider,
  redemption,
  redirectOf,
  signIn,
  signInFrom,
  startProvider,
  stayingHere,
  tokenRequest,
} from './support/provider.ts'

const olga = someone('Olga', 'labs.test')

/** As the OIDC scenario registers it. */
const UPSTREAM_SECRET = 'only-for-this-test-run'

describe('a whole run, with all that goes wrong in it', () => {
  const db = testDatabase()
  const log: string[] = []
  /** By a name that a failure can show. */
  const secrets = new Map<string, string>()
  let provider: Provider
  let oidc: OidcIdp
  let labs: Company
  let scimToken: string
  let agent: UserAgent

  const keep = (name: string, value: string | null | undefined): string => {
    if (!value || value.length < 12) throw new Error(`the run did not use ${name}`)
    secrets.set(`${name} (${secrets.size})`, value)
    return value
  }

  beforeAll(async () => {
    // Without redaction: that is the second line, and this is about the first.
    const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) })
    provider = await startProvider(db.app, { logger })
    oidc = await startOidcIdp({ people: [olga] })
    labs = await oidcCompany(provider.broker, oidc, { domain: 'labs.test' })
    agent = createUserAgent()
    keep('client secret', provider.client.clientSecret)
    keep('upstream client secret', UPSTREAM_SECRET)
    const { acme, broker } = provider
    scimToken = keep(
      'SCIM token',
      (
        await broker.services.directories.create(acme.ctx, {
          profile: 'generic',
          connectionId: acme.connection.uuid,
        })
      ).token,
    )
    await run()
  })

  afterAll(async () => {
    await agent.close()
    await Promise.all([provider.close(), oidc.close()])
  })

  const exchange = async (code: string, asked: Asked) => {
    keep('PKCE verifier', asked.verifier)
    const form = { ...credentials(provider.client), ...redemption(keep('code', code), asked) }
    const { body } = await tokenRequest(provider.broker, form)
    for (const name of ['access_token', 'id_token', 'refresh_token']) keepJwt(name, body[name])
    return { form, tokens: body }
  }

  /** A token and its signature alone: the first two parts are no secret without it. */
  const keepJwt = (name: string, token: string | undefined): void => {
    keep(name, token)
    if (token?.split('.').length === 3) keep(`signature of the ${name}`, token.split('.')[2])
  }

  const keepCookies = (): void => {
    for (const { name, value } of agent.cookies(provider.broker.baseUrl)) keep(`cookie ${name}`, value)
  }

  const scim = (path: string, method: string, body?: unknown, token = scimToken) =>
    fetch(`${provider.broker.baseUrl}/scim/v2/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  const provisionAlice = async (): Promise<string> => {
    const [directory] = await provider.broker.services.directories.list(provider.acme.ctx)
    const users = `${toId('dir', directory?.id ?? '')}/Users`
    const created = await scim(users, 'POST', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: alice.email,
      externalId: alice.id,
      active: true,
      emails: [{ value: alice.email, primary: true }],
    })
    expect(created.status).toBe(201)
    const wrong = keep('wrong SCIM token', `${scimToken.slice(0, -1)}${scimToken.endsWith('0') ? '1' : '0'}`)
    expect((await scim(users, 'GET', undefined, wrong)).status).toBe(401)
    return `${users}/${((await created.json()) as { id: string }).id}`
  }

  const signInThroughSaml = async () => {
    const asked = ask(provider)
    keep('state of the app', asked.parameters.state)
    const login = await agent.get(asked.url, stayingHere(provider))
    const identifier = login.form('email')
    keep('handle', identifier.fields.request)
    keep('CSRF token', identifier.fields.csrf)
    const idp = await agent.submit(identifier, { email: alice.email }, stayingHere(provider))
    const back = await agent.submit(idp.form('person'), { person: alice.id }, stayingHere(provider))
    const acs = back.form('SAMLResponse')
    const response = keep('SAMLResponse', acs.fields.SAMLResponse)
    keep('RelayState', acs.fields.RelayState)
    const xml = Buffer.from(response, 'base64').toString()
    keep('assertion', /<saml:Assertion.*<\/saml:Assertion>/s.exec(xml)?.[0])
    keep(
      'signature of the assertion',
      /<SignatureValue>([^<]+)</.exec(xml)?.[1] ?? /SignatureValue>([^<]+)</.exec(xml)?.[1],
    )
    const answer = redirectOf(await agent.submit(acs, {}, stayingHere(provider)))
    keepCookies()
    const replayed = await agent.submit(acs, {}, stayingHere(provider))
    expect(replayed.status).toBe(403)
    return { ...(await exchange(answer.searchParams.get('code') ?? '', asked)), acs }
  }

  const signInThroughOidc = async () => {
    const browser = createUserAgent()
    const outside = { follow: (next: URL) => next.origin !== 'https://app.test' }
    const asked = ask(provider, { login_hint: olga.email })
    const idp = await browser.get(asked.url, outside)
    const request = idp.hops
      .map(({ url }) => new URL(url))
      .find((url) => url.searchParams.has('nonce') && url.origin === oidc.issuer)
    keep('upstream nonce', request?.searchParams.get('nonce'))
    const back = await browser.submit(idp.form('person'), { person: olga.id }, outside)
    const callback = back.hops
      .map(({ url }) => new URL(url))
      .find(({ pathname }) => pathname.endsWith('/callback'))
    keep('upstream code', callback?.searchParams.get('code'))
    keep('upstream state', callback?.searchParams.get('state'))
    expect((await browser.get(callback?.href ?? '', outside)).status).toBe(403)
    await browser.close()
    return exchange(redirectOf(back).searchParams.get('code') ?? '', asked)
  }

  const misuse = async ({
    form,
    tokens,
    acs,
  }: Awaited<ReturnType<typeof signInThroughSaml>>): Promise<void> => {
    const { broker, client } = provider
    const { access_token: access = '', refresh_token: spent = '' } = tokens
    const refresh = { grant_type: 'refresh_token', refresh_token: spent }
    const next = await tokenRequest(broker, refresh, basic(client))
    keepJwt('refreshed access token', next.body.access_token)
    const newest = await tokenRequest(
      broker,
      { ...refresh, refresh_token: keep('second refresh token', next.body.refresh_token) },
      basic(client),
    )
    keep('third refresh token', newest.body.refresh_token)
    // Theft, reuse, two ways at once, the wrong place, the wrong form, the wrong path.
    expect((await tokenRequest(broker, refresh, basic(client))).status).toBe(400)
    expect((await tokenRequest(broker, form)).status).toBe(400)
    expect((await tokenRequest(broker, form, basic(client))).status).toBe(400)
    const wrongSecret = keep('wrong client secret', `${client.clientSecret}x`)
    expect((await tokenRequest(broker, { ...form, client_secret: wrongSecret })).status).toBe(401)
    expect(
      (await tokenRequest(broker, JSON.stringify(form), { 'content-type': 'application/json' })).status,
    ).toBe(415)
    const bearer = (token: string, path = '/oauth2/userinfo') =>
      fetch(`${broker.baseUrl}${path}`, { headers: { authorization: `Bearer ${token}` } })
    expect((await bearer(access)).status).toBe(200)
    expect((await bearer(`${access}x`)).status).toBe(401)
    expect((await bearer(access, `/oauth2/userinfo?access_token=${access}`)).status).toBe(200)
    expect((await bearer(access, `/${access}/${spent}`)).status).toBe(404)
    const broken = {
      ...acs,
      fields: { ...acs.fields, SAMLResponse: acs.fields.SAMLResponse?.slice(0, -40) ?? '' },
    }
    expect((await agent.submit(broken, {}, stayingHere(provider))).status).toBe(403)
  }

  const breakDatabase = async (refreshToken: string): Promise<void> => {
    const { broker, client } = provider
    await db.owner.raw('alter table refresh_tokens rename to refresh_tokens_away')
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const failed = await tokenRequest(broker, form, basic(client))
    await db.owner.raw('alter table refresh_tokens_away rename to refresh_tokens')
    expect(failed).toMatchObject({ status: 500, body: { error: 'server_error' } })
    expect((await tokenRequest(broker, form, basic(client))).status).toBe(200)
  }

  const keepPrivateKeys = async (): Promise<void> => {
    const { broker, acme } = provider
    const { envelope } = broker.services
    for (const row of await db.app('signing_keys')) {
      const place = { table: 'signing_keys', column: 'private_sealed', row: row.id as string }
      keep(
        'signing key',
        bodyOf((await envelope.openForPlatform(broker.ctx, place, row.private_sealed)).toString()),
      )
    }
    const place = { table: 'connections', column: 'secrets_sealed', row: acme.connection.uuid }
    await inTx(acme.ctx, async (tx) => {
      const row = await tx.db('connections').where({ id: acme.connection.uuid }).first()
      const opened = JSON.parse((await envelope.open(tx, place, row.secrets_sealed)).toString())
      keep('SAML private key', bodyOf(opened.spPrivateKey))
    })
    keep('master key', testMasterKey.toString('base64'))
  }

  /** One line out of the middle of a PEM. */
  const bodyOf = (pem: string): string => pem.split('\n').filter((line) => !line.startsWith('-----'))[1] ?? ''

  const run = async (): Promise<void> => {
    const resource = await provisionAlice()
    const first = await signInThroughSaml()
    await misuse(first)
    const upstream = await signInThroughOidc()
    await breakDatabase(upstream.tokens.refresh_token ?? '')
    // Bob is nobody in the directory that is paired now.
    const stranger = createUserAgent()
    const page = await stranger.get(ask(provider).url, stayingHere(provider))
    await expect(signInFrom(provider, stranger, page, bob)).rejects.toThrow('no redirect: 403')
    const gone = await scim(resource, 'PATCH', {
      schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
      Operations: [{ op: 'replace', path: 'active', value: false }],
    })
    expect(gone.status).toBe(200)
    await expect(signIn(provider, stranger, alice)).rejects.toThrow('no redirect: 403')
    const idToken = upstream.tokens.id_token ?? ''
    await stranger.get(`${provider.broker.baseUrl}/oauth2/logout?id_token_hint=${idToken}`)
    await stranger.close()
    await keepPrivateKeys()
  }

  const trail = async () => {
    const tenants = await Promise.all(
      [provider.acme, provider.globex, labs].map(({ ctx }) =>
        inTx(ctx, (tx) => provider.broker.services.audit.list(tx, { limit: 10_000 })),
      ),
    )
    return [...tenants.flat(), ...(await db.app('platform_audit_events'))]
  }

  const leaksIn = (text: string): string[] =>
    [...secrets].filter(([, value]) => text.includes(value)).map(([name]) => name)

  test('used more than thirty secrets and logged more than thirty lines, or this says nothing', () => {
    expect(secrets.size).toBeGreaterThan(30)
    expect(log.length).toBeGreaterThan(30)
    expect(log.some((line) => line.includes('"level":50'))).toBe(true)
    expect(leaksIn(`x ${secrets.get('client secret (0)')} y`)).toEqual(['client secret (0)'])
  })

  test('leaves none of its secrets in the log, not even at trace level and without redaction', () => {
    expect(leaksIn(log.join('\n'))).toEqual([])
  })

  test('leaves none of its secrets in the audit trail', async () => {
    expect(leaksIn(JSON.stringify(await trail()))).toEqual([])
  })

  test('writes an audit row for everything that happened, with who and in which request', async () => {
    const rows = await trail()
    for (const row of rows) {
      expect(row.actor_type, row.action).toMatch(/^(anonymous|system|cli|user|directory|client)$/)
      expect(row.request_id, row.action).toMatch(/^(req_[\w-]{16}|test)$/)
      if (['user', 'directory', 'client'].includes(row.actor_type)) expect(row.actor_id).not.toBeNull()
    }
    const summary = new Set(
      rows.map(({ action, outcome, actor_type }) => `${action} ${outcome} by ${actor_type}`),
    )
    const expected = [
      'organisation.created success by system',
      'domain.added success by system',
      'domain.assigned success by system',
      'connection.created success by system',
      'connection.updated success by system',
      'connection.enabled success by system',
      'client.created success by system',
      'directory.created success by system',
      'user.created success by directory',
      'identity.linked success by anonymous',
      'login.succeeded success by user',
      'login.refused refused by anonymous',
      'token.issued success by client',
      'token.code_reused refused by client',
      'token.refresh_reused refused by client',
      'user.deactivated success by directory',
      'session.signed_out success by client',
    ]
    expect(expected.filter((line) => !summary.has(line))).toEqual([])
    const reasons = new Set(
      rows.filter(({ action }) => action === 'login.refused').map(({ reason }) => reason),
    )
    for (const reason of ['replayed', 'user_unknown', 'user_inactive']) expect(reasons).toContain(reason)
  })

  test('a request’s audit rows and its log lines have the same request ID', async () => {
    const requests = (await trail())
      .map(({ request_id }) => request_id as string)
      .filter((id) => id !== 'test')
    expect(requests.length).toBeGreaterThan(5)
    const text = log.join('\n')
    for (const id of requests) expect(text).toContain(id)
  })

  /** What others present to us, or we to others: kept hashed or sealed, so nowhere to be read. */
  const CREDENTIAL =
    /^(client secret|upstream client secret|SCIM|cookie|code|PKCE|access|refresh|id_token|handle|RelayState|signing key|SAML private|master|SAMLResponse|upstream code)/

  test('leaves no credential in any table, as text or as bytes', async () => {
    const { rows: tables } = await db.owner.raw<{ rows: { name: string }[] }>(
      `select tablename as name from pg_tables where schemaname = 'public'`,
    )
    const orgs = [provider.acme, provider.globex, labs].map(({ ctx }) => ctx)
    let dump = ''
    for (const ctx of orgs) {
      for (const { name } of tables.filter(({ name }) => !name.startsWith('knex_'))) {
        dump += await inTx(ctx, async (tx) => {
          const { rows } = await tx.db.raw('select jsonb_agg(to_jsonb(t))::text as rows from ?? t', [name])
          return rows[0]?.rows ?? ''
        })
      }
    }
    expect(dump).toContain(fromId('cli', provider.client.clientId))
    expect(dump).toContain(alice.email)
    const readable = [...secrets].filter(([name, value]) => {
      if (!CREDENTIAL.test(name)) return false
      const tail = value.slice(-43)
      const spellings = [
        value,
        Buffer.from(value).toString('hex'),
        Buffer.from(tail, 'base64url').toString('hex'),
      ]
      return spellings.some((spelling) => spelling.length >= 12 && dump.includes(spelling))
    })
    expect(readable.map(([name]) => name)).toEqual([])
  })
})
