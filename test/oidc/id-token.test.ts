import { base64url, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RefusalReason } from '../../src/connections/contract.ts'
import { type Bend, type MisbehavingOp, startMisbehavingOp, without } from '../support/misbehaving-op.ts'
import { openTo, refusalOf, signIn } from './opening.ts'

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

const withClaim = (name: string, value: unknown): Bend => ({
  claims: (claims) => ({ ...claims, [name]: value }),
})

const pemOf = async (key: CryptoKey): Promise<Buffer> => {
  const der = Buffer.from(await crypto.subtle.exportKey('spki', key)).toString('base64')
  return Buffer.from(
    `-----BEGIN PUBLIC KEY-----\n${der.replace(/(.{64})/g, '$1\n')}\n-----END PUBLIC KEY-----\n`,
  )
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
