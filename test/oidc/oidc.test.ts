import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { OutboundFetch } from '../../src/connections/contract.ts'
import { addSeconds } from '../../src/core/clock.ts'
import { createOutbound } from '../../src/net/outbound.ts'
import { OidcConfig } from '../../src/oidc/config.ts'
import { oidcConnection } from '../../src/oidc/oidc.ts'
import { type MisbehavingOp, startMisbehavingOp } from '../support/misbehaving-op.ts'
import {
  BASE_URL,
  begin,
  CONNECTION_ID,
  callbackOf,
  openTo,
  outboundFetch,
  redirectOf,
  refusalOf,
  signIn,
  visit,
} from './opening.ts'

const DISCOVERY = '/.well-known/openid-configuration'
const REDIRECT_URI = `${BASE_URL}/oidc/${CONNECTION_ID}/callback`

let op: MisbehavingOp
beforeAll(async () => {
  op = await startMisbehavingOp()
})
beforeEach(() => op.bend({}))
afterAll(() => op.close())

/** How often `path` was asked for during `work`. */
const hitsDuring = async (path: string, work: () => Promise<unknown>): Promise<number> => {
  const before = op.hits(path)
  await work()
  return op.hits(path) - before
}

describe('the OIDC connection type', () => {
  it('has a draft that its own schema takes, with the redirect URI known and the rest named as missing', async () => {
    const { config, secrets } = await oidcConnection.draft()
    expect(oidcConnection.config.parse(config)).toEqual(config)
    expect(config).toMatchObject({ scopes: ['openid', 'profile', 'email'], idTokenAlgorithm: 'RS256' })
    expect(oidcConnection.missing(config, secrets)).toHaveLength(3)
    expect(oidcConnection.urls(BASE_URL, CONNECTION_ID)).toEqual({ redirectUri: REDIRECT_URI })
  })

  it('misses nothing once issuer, client ID and secret are there', () => {
    const config = OidcConfig.parse({ issuer: op.issuer, clientId: 'a' })
    expect(oidcConnection.missing(config, { clientSecret: 'b' })).toEqual([])
    expect(oidcConnection.missing(config, {})).toEqual(['the client secret that the IdP gave'])
  })

  it.each([
    { idTokenAlgorithm: 'none' },
    { idTokenAlgorithm: 'HS256' },
    { scopes: ['profile'] },
    { scopes: ['openid email'] },
    { clientId: ' ' },
    { clientSecret: 'in the wrong place' },
  ])('refuses the setting %j', (setting) => {
    expect(OidcConfig.safeParse(setting).success).toBe(false)
    expect(
      OidcConfig.safeParse({ idTokenAlgorithm: 'ES256', scopes: ['openid'], clientId: 'a' }).success,
    ).toBe(true)
  })

  it('does not begin while it is a draft', async () => {
    const { config, secrets } = await oidcConnection.draft()
    const deps = { fetch: outboundFetch(), clock: { now: () => new Date() } }
    const draft = oidcConnection.open(
      { id: CONNECTION_ID, name: 'draft', baseUrl: BASE_URL, config, secrets },
      deps,
    )
    expect((await refusalOf(begin(draft))).reason).toBe('idp_misconfigured')
    expect((await refusalOf(draft.test())).reason).toBe('idp_misconfigured')
  })
})

describe('the authorization request', () => {
  it('asks for a code with PKCE S256, a state and a nonce, each fresh and of 256 bits', async () => {
    const connection = openTo(op)
    const begun = await begin(connection)
    const { expects, flowId } = begun
    const asked = Object.fromEntries(redirectOf(begun).searchParams)
    expect(asked).toEqual({
      client_id: op.client.id,
      response_type: 'code',
      redirect_uri: REDIRECT_URI,
      scope: 'openid profile email',
      state: expects.state,
      nonce: expects.nonce,
      code_challenge: createHash('sha256')
        .update(expects.codeVerifier ?? '')
        .digest('base64url'),
      code_challenge_method: 'S256',
    })
    expect(flowId).toBe(expects.state)
    const again = (await begin(connection)).expects
    const values = [...Object.values(expects), ...Object.values(again)]
    expect(new Set(values).size).toBe(6)
    for (const value of values) expect(Buffer.from(value, 'base64url').length).toBe(32)
  })

  it('passes on whom to expect, and that they must sign in anew', async () => {
    const begun = await begin(openTo(op), { loginHint: 'ada@example.test', forceAuthentication: true })
    const { searchParams } = redirectOf(begun)
    expect(searchParams.get('login_hint')).toBe('ada@example.test')
    expect(searchParams.get('prompt')).toBe('login')
  })

  it('asks as configured', async () => {
    const config = { scopes: ['openid', 'groups'], acrValues: ['phr', 'mfa'], responseMode: 'form_post' }
    const { searchParams } = redirectOf(await begin(openTo(op, { config })))
    expect(searchParams.get('scope')).toBe('openid groups')
    expect(searchParams.get('acr_values')).toBe('phr mfa')
    expect(searchParams.get('response_mode')).toBe('form_post')
  })
})

describe('the callback', () => {
  it('names its flow by the state of the query, or of the form where it is posted', () => {
    const connection = openTo(op)
    expect(connection.flowId({ method: 'GET', query: { state: 'a' }, form: { state: 'b' } })).toBe('a')
    expect(connection.flowId({ method: 'POST', query: { state: 'a' }, form: { state: 'b' } })).toBe('b')
    expect(connection.flowId({ method: 'POST', query: { state: 'a' }, form: {} })).toBeNull()
    expect(connection.flowId({ method: 'GET', query: {}, form: {} })).toBeNull()
  })

  it('may be posted, and then its query counts for nothing', async () => {
    const connection = openTo(op, { config: { responseMode: 'form_post' } })
    const begun = await begin(connection)
    const { query } = callbackOf(await visit(redirectOf(begun)))
    const rest = { now: new Date(), expects: begun.expects }
    const inQuery = connection.finish({ method: 'POST', query, form: {}, ...rest })
    expect((await refusalOf(inQuery)).reason).toBe('malformed')
    const posted = await connection.finish({ method: 'POST', query: { state: 'x' }, form: query, ...rest })
    expect(posted.subject).toBe(op.subject)
  })
})

describe('client authentication', () => {
  it('is what the metadata offer, the header first', async () => {
    await signIn(openTo(op))
    expect(op.seen.clientAuthentication).toBe('basic')
    op.bend({ discovery: (d) => ({ ...d, token_endpoint_auth_methods_supported: ['client_secret_post'] }) })
    await signIn(openTo(op))
    expect(op.seen.clientAuthentication).toBe('post')
    op.bend({ discovery: ({ token_endpoint_auth_methods_supported: _unsaid, ...d }) => d })
    await signIn(openTo(op))
    expect(op.seen.clientAuthentication).toBe('basic')
  })
})

describe('what was discovered', () => {
  it('is kept across openings of a connection, and fetched again after ten minutes', async () => {
    const fetch = outboundFetch()
    const start = new Date()
    const at = (seconds: number) => () => begin(openTo(op, { fetch, now: () => addSeconds(start, seconds) }))
    expect(await hitsDuring(DISCOVERY, at(0))).toBe(1)
    expect(await hitsDuring(DISCOVERY, at(599))).toBe(0)
    expect(await hitsDuring(DISCOVERY, at(601))).toBe(1)
  })

  it('is fetched once for sixteen sign-ins that begin at the same time', async () => {
    const fetch = outboundFetch()
    const sixteen = () => Promise.all(Array.from({ length: 16 }, () => begin(openTo(op, { fetch }))))
    expect(await hitsDuring(DISCOVERY, sixteen)).toBe(1)
  })

  it('serves no other connection, though issuer and client are the same', async () => {
    const fetch = outboundFetch()
    await begin(openTo(op, { fetch }))
    op.bend({ discovery: (d) => ({ ...d, authorization_endpoint: `${op.issuer}/elsewhere` }) })
    const other = redirectOf(await begin(openTo(op, { fetch, id: 'con_other' })))
    expect(other.pathname).toBe('/elsewhere')
    expect(redirectOf(await begin(openTo(op, { fetch }))).pathname).toBe('/authorize')
  })

  it('is dropped when a setting or the secret changes', async () => {
    const fetch = outboundFetch()
    await begin(openTo(op, { fetch }))
    expect(await hitsDuring(DISCOVERY, () => begin(openTo(op, { fetch, secret: 'new' })))).toBe(1)
    const config = { scopes: ['openid'] }
    expect(await hitsDuring(DISCOVERY, () => begin(openTo(op, { fetch, secret: 'new', config })))).toBe(1)
  })

  it('does not include a failure: the next sign-in asks again', async () => {
    const connection = openTo(op)
    op.bend({ discoveryEndpoint: (request) => request.socket.destroy() })
    expect((await refusalOf(begin(connection))).reason).toBe('idp_unreachable')
    op.bend({})
    expect((await signIn(connection)).subject).toBe(op.subject)
  })

  it('includes the keys: two sign-ins fetch them once', async () => {
    const fetch = outboundFetch()
    const two = async () => {
      await signIn(openTo(op, { fetch }))
      await signIn(openTo(op, { fetch }))
    }
    expect(await hitsDuring('/jwks', two)).toBe(1)
  })
})

describe('testing a connection', () => {
  it('passes with an IdP that answers, past what was kept', async () => {
    const fetch = outboundFetch()
    await begin(openTo(op, { fetch }))
    expect(await hitsDuring(DISCOVERY, () => openTo(op, { fetch }).test())).toBe(1)
    op.bend({ discovery: (d) => ({ ...d, issuer: 'https://another.test' }) })
    expect((await refusalOf(openTo(op, { fetch }).test())).reason).toBe('idp_misconfigured')
  })

  it('says what is wrong: not reachable, no keys, or not the algorithm', async () => {
    const nowhere = { issuer: 'http://127.0.0.1:1', client: op.client }
    expect((await refusalOf(openTo(nowhere).test())).reason).toBe('idp_unreachable')
    op.bend({ jwksEndpoint: (_request, response) => response.writeHead(404).end() })
    expect((await refusalOf(openTo(op).test())).error.detail?.fault).toBe('jwks')
    op.bend({ discovery: (d) => ({ ...d, id_token_signing_alg_values_supported: ['RS256'] }) })
    const { error } = await refusalOf(openTo(op, { config: { idTokenAlgorithm: 'ES256' } }).test())
    expect(error.detail).toMatchObject({
      fault: 'id_token_algorithm',
      expected: 'ES256',
      received: ['RS256'],
    })
    await openTo(op).test()
  })

  it('refuses a loopback IdP where the development switch is off', async () => {
    const { fetch } = createOutbound({ allowLoopback: false })
    const { reason, error } = await refusalOf(openTo(op, { fetch }).test())
    expect([reason, error.detail?.fault]).toEqual(['idp_misconfigured', 'outbound_scheme_refused'])
  })
})

describe('Entra ID', () => {
  const tenant = '7b1c6a1e-2f0e-4a51-9d5f-3f6f2f1d0c11'
  const oid = 'c0ffee00-1111-4222-8333-444455556666'
  const issuer = `https://login.microsoftonline.com/${tenant}/v2.0`
  let entra: MisbehavingOp
  beforeAll(async () => {
    entra = await startMisbehavingOp({ issuer })
  })
  afterAll(() => entra.close())

  /** Microsoft's host, answered by the test IdP. */
  const here = (url: string | URL): string =>
    String(url).replace('https://login.microsoftonline.com', entra.address)
  const fetchHere = (): OutboundFetch => {
    const fetch = outboundFetch()
    return (url, init) => fetch(here(url), init)
  }
  const signInHere = async () => {
    const connection = openTo(entra, { fetch: fetchHere() })
    const begun = await begin(connection)
    const callback = callbackOf(await visit(new URL(here(redirectOf(begun)))))
    return connection.finish({ ...callback, now: new Date(), expects: begun.expects })
  }

  it('signs in the person of the pinned tenant', async () => {
    entra.bend({ claims: (c) => ({ ...c, tid: tenant, oid }) })
    expect(await signInHere()).toMatchObject({ subject: `${tenant}:${oid}`, emailVerified: false })
  })

  it('refuses a token of another tenant, which openid-client by itself would fill into the issuer', async () => {
    const other = '00000000-aaaa-4bbb-8ccc-dddddddddddd'
    const tokenOfOther = { tid: other, oid, iss: issuer.replace(tenant, other) }
    entra.bend({ claims: (c) => ({ ...c, ...tokenOfOther }) })
    expect((await refusalOf(signInHere())).reason).toBe('issuer_mismatch')
    const templated = 'https://login.microsoftonline.com/{tenantid}/v2.0'
    entra.bend({
      discovery: (d) => ({ ...d, issuer: templated }),
      claims: (c) => ({ ...c, ...tokenOfOther }),
    })
    expect((await refusalOf(signInHere())).error.detail?.fault).toBe('discovery_issuer')
    entra.bend({ claims: (c) => ({ ...c, tid: other, oid }) })
    expect((await refusalOf(signInHere())).reason).toBe('issuer_mismatch')
  })
})
