import { generateKeyPairSync } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { base64url, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RefusalReason } from '../../src/connections/contract.ts'
import { type Bend, type Json, type MisbehavingOp, startMisbehavingOp } from '../support/misbehaving-op.ts'
import { begin, callbackOf, openTo, redirectOf, refusalOf, signIn, visit } from './opening.ts'

let op: MisbehavingOp
let elsewhere: MisbehavingOp

beforeAll(async () => {
  op = await startMisbehavingOp()
  elsewhere = await startMisbehavingOp()
})
afterAll(async () => {
  await op.close()
  await elsewhere.close()
})

const seconds = (): number => Math.floor(Date.now() / 1000)

const encode = (value: unknown): string => base64url.encode(JSON.stringify(value))

const without = (name: string) => (claims: Json) => {
  const { [name]: _dropped, ...rest } = claims
  return rest
}

const withClaim = (name: string, value: unknown): Bend => ({
  claims: (claims) => ({ ...claims, [name]: value }),
})

const pemOf = async (key: CryptoKey): Promise<Buffer> => {
  const der = Buffer.from(await crypto.subtle.exportKey('spki', key)).toString('base64')
  return Buffer.from(
    `-----BEGIN PUBLIC KEY-----\n${der.replace(/(.{64})/g, '$1\n')}\n-----END PUBLIC KEY-----\n`,
  )
}

const shortKey = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })

const redirecting: RequestListener = (_request, response) => {
  response.writeHead(307, { location: `${elsewhere.address}/token` }).end()
}

const answering =
  (status: number, body: string, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  }

const broken: RequestListener = (request) => {
  request.socket.destroy()
}

describe('an honest sign-in', () => {
  const honest: [string, Bend, Record<string, unknown>][] = [
    ['as it comes', {}, {}],
    ['with PS256 where it is configured', { algorithm: 'PS256' }, { idTokenAlgorithm: 'PS256' }],
    ['with ES256 where it is configured', { algorithm: 'ES256' }, { idTokenAlgorithm: 'ES256' }],
    ['with EdDSA where it is configured', { algorithm: 'EdDSA' }, { idTokenAlgorithm: 'EdDSA' }],
    ['with our client ID as azp', { claims: (c) => ({ ...c, azp: 'portico-client' }) }, {}],
    [
      'for us and another, with us as azp',
      { claims: (c) => ({ ...c, aud: ['portico-client', 'b'], azp: 'portico-client' }) },
      {},
    ],
    ['without at_hash', { claims: without('at_hash') }, {}],
    ['without auth_time', { claims: without('auth_time') }, {}],
    ['dated five minutes back', { claims: (c) => ({ ...c, iat: seconds() - 300 }) }, {}],
    ['valid for a day', { claims: (c) => ({ ...c, exp: seconds() + 86_400 }) }, {}],
    [
      'half a minute ahead of our clock',
      { claims: (c) => ({ ...c, iat: seconds() + 30, nbf: seconds() + 30 }) },
      {},
    ],
    [
      'without iss in the answer, where it is not advertised',
      {
        callback: (p) => p.delete('iss'),
        discovery: (d) => ({ ...d, authorization_response_iss_parameter_supported: false }),
      },
      {},
    ],
    ['with the secret in the body', {}, { clientAuthentication: 'client_secret_post' }],
    ['with an unknown header that is not critical', { header: { x: 'y' } }, {}],
  ]
  it.each(honest)('passes %s', async (_name, bend, config) => {
    op.bend(bend)
    const identity = await signIn(openTo(op, { config }))
    expect(identity).toMatchObject({ subject: op.subject, email: 'ada@example.test', emailVerified: true })
  })
})

describe('an ID token is refused', () => {
  const table: [string, RefusalReason, Bend][] = [
    [
      'without a signature (alg none)',
      'algorithm_refused',
      {
        idToken: (claims) => `${encode({ alg: 'none' })}.${encode(claims)}.`,
      },
    ],
    [
      'with alg none that the metadata advertises',
      'algorithm_refused',
      {
        discovery: (d) => ({ ...d, id_token_signing_alg_values_supported: ['none', 'RS256'] }),
        idToken: (claims) => `${encode({ alg: 'none' })}.${encode(claims)}.`,
      },
    ],
    [
      'signed by HMAC with the public RSA key',
      'algorithm_refused',
      {
        idToken: async (claims, key) =>
          new SignJWT(claims)
            .setProtectedHeader({ alg: 'HS256', kid: key.kid })
            .sign(await pemOf(key.publicKey)),
      },
    ],
    [
      'signed by HMAC with the client secret, as advertised',
      'algorithm_refused',
      {
        discovery: (d) => ({ ...d, id_token_signing_alg_values_supported: ['HS256', 'RS256'] }),
        idToken: (claims) =>
          new SignJWT(claims)
            .setProtectedHeader({ alg: 'HS256' })
            .sign(Buffer.from(op.client.secret.padEnd(32))),
      },
    ],
    ['with a sound algorithm that is not the configured one', 'algorithm_refused', { algorithm: 'ES256' }],
    [
      'signed by another key under a known kid',
      'signature_invalid',
      {
        idToken: (claims, key) =>
          new SignJWT(claims)
            .setProtectedHeader({ alg: 'RS256', kid: key.kid })
            .sign(elsewhere.keys.RS256.privateKey),
      },
    ],
    [
      'with claims changed after signing',
      'signature_invalid',
      {
        idToken: async (claims, key) => {
          const [header, , signature] = (
            await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(key.privateKey)
          ).split('.')
          return `${header}.${encode({ ...claims, sub: 'another' })}.${signature}`
        },
      },
    ],
    [
      'with an empty signature',
      'signature_invalid',
      {
        idToken: (claims, key) => `${encode({ alg: 'RS256', kid: key.kid })}.${encode(claims)}.`,
      },
    ],
    [
      'with a signature that is not base64url',
      'token_invalid',
      {
        idToken: (claims, key) => `${encode({ alg: 'RS256', kid: key.kid })}.${encode(claims)}.!!!`,
      },
    ],
    ['with an unknown kid', 'key_unknown', { header: { kid: 'who-knows' } }],
    [
      'with a key of its own in the header (jwk)',
      'signature_invalid',
      {
        idToken: (claims, key) =>
          new SignJWT(claims)
            .setProtectedHeader({ alg: 'RS256', kid: key.kid, jwk: elsewhere.keys.RS256.jwk })
            .sign(elsewhere.keys.RS256.privateKey),
      },
    ],
    [
      'with the address of its own keys in the header (jku, x5u)',
      'key_unknown',
      {
        idToken: (claims) => {
          const jku = `${elsewhere.address}/jwks`
          return new SignJWT(claims)
            .setProtectedHeader({ alg: 'RS256', kid: 'elsewhere', jku, x5u: jku })
            .sign(elsewhere.keys.RS256.privateKey)
        },
      },
    ],
    [
      'with a critical header',
      'token_invalid',
      {
        idToken: (claims, key) =>
          new SignJWT(claims)
            .setProtectedHeader({ alg: 'RS256', kid: key.kid, crit: ['exp'], exp: 1 })
            .sign(key.privateKey, { crit: { exp: false } }),
      },
    ],
    ['of another issuer', 'issuer_mismatch', { claims: (c) => ({ ...c, iss: elsewhere.issuer }) }],
    ['for another audience', 'audience_mismatch', withClaim('aud', 'another-client')],
    [
      'for an audience that begins like ours',
      'audience_mismatch',
      withClaim('aud', 'portico-client.evil.test'),
    ],
    ['for several audiences without azp', 'audience_mismatch', withClaim('aud', ['portico-client', 'b'])],
    ['for another authorized party', 'authorized_party_mismatch', withClaim('azp', 'another-client')],
    [
      'for several audiences and another authorized party',
      'authorized_party_mismatch',
      {
        claims: (c) => ({ ...c, aud: ['portico-client', 'b'], azp: 'b' }),
      },
    ],
    ['with another nonce', 'nonce_mismatch', withClaim('nonce', 'another')],
    ['without nonce', 'nonce_mismatch', { claims: without('nonce') }],
    ['after it has expired', 'expired', withClaim('exp', seconds() - 120)],
    ['without exp', 'token_invalid', { claims: without('exp') }],
    ['with exp far in the future', 'lifetime_refused', withClaim('exp', seconds() + 10 * 365 * 86_400)],
    ['issued long ago', 'token_stale', withClaim('iat', seconds() - 3_600)],
    ['issued in the future', 'not_yet_valid', withClaim('iat', seconds() + 600)],
    ['not valid yet', 'not_yet_valid', withClaim('nbf', seconds() + 600)],
    ['without iat', 'token_invalid', { claims: without('iat') }],
    ['for an authentication in the future', 'not_yet_valid', withClaim('auth_time', seconds() + 600)],
    ['with an at_hash of another access token', 'token_hash_mismatch', withClaim('at_hash', 'A'.repeat(22))],
    ['with an at_hash that is no text', 'token_hash_mismatch', withClaim('at_hash', 7)],
    ['without sub', 'subject_missing', { claims: without('sub') }],
    ['with an empty sub', 'subject_missing', withClaim('sub', '')],
    ['with a number for sub', 'subject_malformed', withClaim('sub', 7)],
    ['with a control character in sub', 'subject_malformed', withClaim('sub', 'a\u0000b')],
    ['that is encrypted', 'token_invalid', { idToken: () => 'a.b.c.d.e' }],
    ['that is no token', 'token_invalid', { idToken: () => 'nonsense' }],
  ]

  it.each(table)('%s: %s', async (_name, reason, bend) => {
    op.bend(bend)
    const refused = await refusalOf(signIn(openTo(op)))
    expect(refused.reason).toBe(reason)
    op.bend({})
    await signIn(openTo(op))
  })

  it('when a fresh authentication was asked for and an old one came back', async () => {
    op.bend(withClaim('auth_time', seconds() - 3_600))
    const { reason } = await refusalOf(signIn(openTo(op), { forced: true }))
    expect(reason).toBe('authentication_stale')
    await signIn(openTo(op), { forced: false })
    op.bend(withClaim('auth_time', seconds()))
    await signIn(openTo(op), { forced: true })
  })

  it('by the clock that it is given, not the one on the wall', async () => {
    op.bend({})
    const later = new Date(Date.now() + 30 * 60_000)
    expect((await refusalOf(signIn(openTo(op), { now: later }))).reason).toBe('expired')
    const earlier = new Date(Date.now() - 30 * 60_000)
    expect((await refusalOf(signIn(openTo(op), { now: earlier }))).reason).toBe('not_yet_valid')
    await signIn(openTo(op))
  })
})

describe('an IdP is not believed', () => {
  const table: [string, RefusalReason, string, Bend][] = [
    [
      'that says it is another issuer',
      'idp_misconfigured',
      'discovery_issuer',
      {
        discovery: (d) => ({ ...d, issuer: `${String(d.issuer)}/` }),
      },
    ],
    [
      'that has no token endpoint',
      'idp_misconfigured',
      'discovery_incomplete',
      { discovery: without('token_endpoint') },
    ],
    [
      'that knows no client authentication of ours',
      'idp_misconfigured',
      'client_authentication',
      {
        discovery: (d) => ({ ...d, token_endpoint_auth_methods_supported: ['tls_client_auth'] }),
      },
    ],
    [
      'whose token endpoint redirects',
      'idp_misconfigured',
      'outbound_redirect_refused',
      {
        tokenEndpoint: redirecting,
      },
    ],
    [
      'whose discovery redirects',
      'idp_misconfigured',
      'outbound_redirect_refused',
      { discoveryEndpoint: redirecting },
    ],
    [
      'whose keys are 10 MB',
      'idp_misconfigured',
      'outbound_too_large',
      {
        jwks: (keys) => ({ keys, padding: 'a'.repeat(10 * 1024 * 1024) }),
      },
    ],
    [
      'whose keys lie in the cloud metadata service',
      'idp_misconfigured',
      'outbound_scheme_refused',
      {
        discovery: (d) => ({ ...d, jwks_uri: 'http://169.254.169.254/jwks' }),
      },
    ],
    [
      'whose token endpoint lies in a private network',
      'idp_misconfigured',
      'outbound_address_refused',
      {
        discovery: (d) => ({ ...d, token_endpoint: 'https://10.0.0.1/token' }),
      },
    ],
    [
      'whose keys are no keys',
      'idp_misconfigured',
      'OAUTH_INVALID_RESPONSE',
      { jwks: () => ({ keys: 'none' }) },
    ],
    [
      'whose key is no RSA key',
      'idp_misconfigured',
      'a published key cannot be used',
      { jwks: (keys) => ({ keys: keys.map(({ kid, kty, alg }) => ({ kid, kty, alg })) }) },
    ],
    [
      'whose RSA key is too short',
      'idp_misconfigured',
      'OAUTH_UNSUPPORTED_OPERATION',
      { jwks: (keys) => ({ keys: keys.map((key) => ({ ...key, ...shortKey })) }) },
    ],
    [
      'whose discovery is a web page',
      'idp_misconfigured',
      'OAUTH_RESPONSE_IS_NOT_JSON',
      {
        discoveryEndpoint: answering(200, '<html>', { 'content-type': 'text/html' }),
      },
    ],
    [
      'that does not know the path',
      'idp_misconfigured',
      'OAUTH_RESPONSE_IS_NOT_CONFORM',
      {
        discoveryEndpoint: answering(404, '{}'),
      },
    ],
    [
      'that is broken',
      'idp_unreachable',
      'OAUTH_RESPONSE_IS_NOT_CONFORM',
      { discoveryEndpoint: answering(503, '{}') },
    ],
    ['that hangs up', 'idp_unreachable', 'outbound_failed', { discoveryEndpoint: broken }],
    ['whose token endpoint hangs up', 'idp_unreachable', 'outbound_failed', { tokenEndpoint: broken }],
    [
      'that does not know our client',
      'idp_misconfigured',
      'invalid_client',
      {
        tokenEndpoint: answering(401, '{"error":"invalid_client"}', {
          'www-authenticate': 'Basic realm="op"',
        }),
      },
    ],
    [
      'that lets our client do nothing',
      'idp_misconfigured',
      'unauthorized_client',
      {
        tokenEndpoint: answering(400, '{"error":"unauthorized_client"}'),
      },
    ],
    [
      'that will not redeem the code',
      'code_refused',
      'invalid_grant',
      {
        tokenEndpoint: answering(400, '{"error":"invalid_grant"}'),
      },
    ],
    ['that gives no ID token', 'idp_misconfigured', 'OAUTH_INVALID_RESPONSE', { token: without('id_token') }],
    [
      'that gives no access token',
      'idp_misconfigured',
      'OAUTH_INVALID_RESPONSE',
      { token: without('access_token') },
    ],
    [
      'whose token type is unknown',
      'token_invalid',
      'OAUTH_UNSUPPORTED_OPERATION',
      {
        token: (answer) => ({ ...answer, token_type: 'mac' }),
      },
    ],
  ]

  it.each(table)('%s: %s', async (_name, reason, fault, bend) => {
    op.bend(bend)
    const refused = await refusalOf(signIn(openTo(op)))
    expect([refused.reason, refused.error.detail?.fault]).toEqual([reason, fault])
    op.bend({})
    await signIn(openTo(op))
  })

  it('whose client secret is not ours, in the header or in the body', async () => {
    op.bend({})
    for (const clientAuthentication of ['client_secret_basic', 'client_secret_post']) {
      const config = { clientAuthentication }
      const { reason } = await refusalOf(signIn(openTo(op, { config, secret: 'not the secret' })))
      expect(reason).toBe('idp_misconfigured')
      await signIn(openTo(op, { config }))
    }
  })
})

describe('a callback is refused', () => {
  const arrive = async (change: (parameters: URLSearchParams) => void, expecting: Json = {}) => {
    op.bend({})
    const connection = openTo(op)
    const begun = await begin(connection)
    const url = await visit(redirectOf(begun))
    change(url.searchParams)
    const expects = { ...begun.expects, ...expecting } as Record<string, string>
    return connection.finish({ ...callbackOf(url), now: new Date(), expects })
  }

  const table: [string, RefusalReason, (parameters: URLSearchParams) => void][] = [
    ['with the state of another flow', 'request_mismatch', (p) => p.set('state', 'another')],
    ['without state', 'malformed', (p) => p.delete('state')],
    ['that names another IdP (mix-up)', 'response_issuer_mismatch', (p) => p.set('iss', 'https://evil.test')],
    ['that names no IdP where its metadata promise it', 'response_issuer_mismatch', (p) => p.delete('iss')],
    ['without code', 'malformed', (p) => p.delete('code')],
    ['with a code that was never given', 'code_refused', (p) => p.set('code', 'made-up')],
    ['with an ID token beside the code', 'token_invalid', (p) => p.set('id_token', 'a.b.c')],
    ['with access_denied', 'idp_refused', (p) => p.set('error', 'access_denied')],
    ['with login_required', 'idp_refused', (p) => p.set('error', 'login_required')],
    ['with unauthorized_client', 'idp_misconfigured', (p) => p.set('error', 'unauthorized_client')],
    ['with temporarily_unavailable', 'idp_unreachable', (p) => p.set('error', 'temporarily_unavailable')],
    [
      'with an error from another IdP',
      'response_issuer_mismatch',
      (p) => {
        p.set('error', 'access_denied')
        p.set('iss', 'https://evil.test')
      },
    ],
  ]
  it.each(table)('%s: %s', async (_name, reason, change) => {
    expect((await refusalOf(arrive(change))).reason).toBe(reason)
    expect((await arrive(() => undefined)).subject).toBe(op.subject)
  })

  it('with the nonce or the code verifier of another flow', async () => {
    expect((await refusalOf(arrive(() => undefined, { nonce: 'another' }))).reason).toBe('nonce_mismatch')
    const verifier = 'v'.repeat(43)
    expect((await refusalOf(arrive(() => undefined, { codeVerifier: verifier }))).reason).toBe('code_refused')
  })

  it.each(['state', 'nonce', 'codeVerifier'])('when the flow has lost its %s', async (name) => {
    const { reason } = await refusalOf(arrive(() => undefined, { [name]: '' }))
    expect(reason).toBe('flow_unknown')
  })

  it('a second time, and the identity of the first names what was used up', async () => {
    op.bend({})
    const connection = openTo(op)
    const begun = await begin(connection)
    const callback = callbackOf(await visit(redirectOf(begun)))
    const finish = () => connection.finish({ ...callback, now: new Date(), expects: begun.expects })
    const { replay } = await finish()
    expect((await refusalOf(finish())).reason).toBe('code_refused')
    expect(replay.until.getTime()).toBeGreaterThan(Date.now())
    expect(replay.key).not.toContain(begun.expects.nonce)
    expect((await signIn(connection)).replay.key).not.toBe(replay.key)
  })

  it('with the code of another connection at the same IdP, and with that of another IdP', async () => {
    op.bend({})
    elsewhere.bend({})
    const ours = openTo(op)
    const begun = await begin(ours)
    for (const other of [openTo(op, { id: 'con_other' }), openTo(elsewhere)]) {
      const stolen = await visit(redirectOf(await begin(other)))
      const query = {
        ...begun.expects,
        state: begun.flowId,
        iss: op.issuer,
        code: stolen.searchParams.get('code') ?? '',
      }
      const finish = ours.finish({ method: 'GET', query, form: {}, now: new Date(), expects: begun.expects })
      expect((await refusalOf(finish)).reason).toBe('code_refused')
    }
    expect((await signIn(ours)).subject).toBe(op.subject)
  })

  it('and the text of the IdP reaches the log short and on one line', async () => {
    const { error } = await refusalOf(
      arrive((p) => {
        p.set('error', 'access_denied')
        p.set('error_description', `AADSTS50105: not assigned\n{"forged":1}${'x'.repeat(5_000)}`)
      }),
    )
    const description = String(error.detail?.description)
    expect(description).toMatch(/^AADSTS50105: not assigned \{"forged"/)
    expect(description.length).toBeLessThanOrEqual(300)
  })
})

describe('what the log is given', () => {
  it('holds no code, token, secret, nonce or verifier, however it fails', async () => {
    const tokens: string[] = []
    const keep: Bend['token'] = (answer) => {
      tokens.push(String(answer.id_token), String(answer.access_token))
      return answer
    }
    const bends: Bend[] = [
      { token: (answer) => ({ ...keep(answer), token_type: 'mac' }) },
      { token: keep, claims: (c) => ({ ...c, nonce: 'another' }) },
      { token: keep, claims: (c) => ({ ...c, aud: 'another' }) },
      { token: keep, header: { kid: 'unknown' } },
      { token: keep, claims: (c) => ({ ...c, exp: 1 }) },
      { token: keep, claims: (c) => ({ ...c, at_hash: 'x' }) },
      { token: (answer) => ({ ...keep(answer), access_token: 7 }) },
      { tokenEndpoint: redirecting },
      { tokenEndpoint: broken },
      { callback: (p) => p.set('error', 'access_denied') },
    ]
    for (const bend of bends) {
      op.bend(bend)
      const connection = openTo(op)
      const begun = await begin(connection)
      const callback = callbackOf(await visit(redirectOf(begun)))
      const { error } = await refusalOf(
        connection.finish({ ...callback, now: new Date(), expects: begun.expects }),
      )
      const { state, nonce, codeVerifier } = begun.expects
      const secrets = [op.client.secret, callback.query.code, state, nonce, codeVerifier, ...tokens]
      const logged = everything(error)
      for (const secret of secrets) expect(logged).not.toContain(secret)
    }
    expect(tokens.length).toBeGreaterThan(10)
  })
})

/** All that a serializer could find in an error: own properties, enumerable or not, down the chain of causes. */
const everything = (value: unknown, seen = new Set<unknown>()): string => {
  if (typeof value !== 'object' || value === null) return String(value)
  if (seen.has(value)) return ''
  seen.add(value)
  const iterated = value instanceof URLSearchParams || value instanceof Headers ? String([...value]) : ''
  const own = Object.getOwnPropertyNames(value).map((name) => everything(Reflect.get(value, name), seen))
  return [iterated, ...own].join(' ')
}
