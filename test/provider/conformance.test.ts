import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  refreshTokenGrant,
} from 'openid-client'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createUserAgent, type UserAgent } from '../../src/demo/user-agent.ts'
import { testDatabase } from '../support/database.ts'
import {
  AFTER_LOGOUT,
  alice,
  type Provider,
  redirectOf,
  registerClient,
  signInFrom,
  startProvider,
  stayingHere,
} from './support/provider.ts'

describe('the provider, seen by a client off the shelf (openid-client)', () => {
  const db = testDatabase()
  let provider: Provider
  let agent: UserAgent

  beforeAll(async () => {
    const started = await startProvider(db.app)
    // This client takes a redirect URI to have no query.
    const client = await registerClient(started.broker, { redirectUris: ['https://app.test/callback'] })
    provider = { ...started, client }
  })

  beforeEach(() => {
    agent = createUserAgent()
  })

  afterEach(() => agent.close())

  afterAll(() => provider.close())

  const discovered = (authentication: (secret: string) => ReturnType<typeof ClientSecretBasic>) =>
    discovery(
      new URL(provider.broker.baseUrl),
      provider.client.clientId,
      { id_token_signed_response_alg: 'ES256' },
      authentication(provider.client.clientSecret),
      { execute: [allowInsecureRequests, enableNonRepudiationChecks] },
    )

  const begin = async (config: Configuration, extra: Record<string, string> = {}) => {
    const checks = {
      pkceCodeVerifier: randomPKCECodeVerifier(),
      expectedState: randomState(),
      expectedNonce: randomNonce(),
    }
    const url = buildAuthorizationUrl(config, {
      redirect_uri: provider.client.redirectUri,
      scope: 'openid profile email offline_access',
      code_challenge: await calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      ...extra,
    })
    return { url, checks }
  }

  test.each([
    ['Basic', ClientSecretBasic],
    ['its secret in the body', ClientSecretPost],
  ] as const)(
    'with %s it goes all the way: code, ID token, userinfo, refresh, logout',
    async (_, authentication) => {
      const config = await discovered(authentication)
      const { url, checks } = await begin(config)
      const page = await agent.get(url.href, stayingHere(provider))
      const answer = await signInFrom(provider, agent, page, alice)
      const tokens = await authorizationCodeGrant(config, answer, { ...checks, idTokenExpected: true })
      const claims = tokens.claims()
      expect(claims).toMatchObject({ email: alice.email, email_verified: true, org_id: provider.acme.orgId })
      expect(await fetchUserInfo(config, tokens.access_token, claims?.sub ?? '')).toMatchObject({
        email: alice.email,
        given_name: alice.givenName,
      })
      const next = await refreshTokenGrant(config, tokens.refresh_token ?? '')
      expect(next.claims()?.sub).toBe(claims?.sub)
      const logout = buildEndSessionUrl(config, {
        id_token_hint: next.id_token ?? '',
        post_logout_redirect_uri: AFTER_LOGOUT,
        state: 'bye',
      })
      expect(redirectOf(await agent.get(logout.href, { follow: false })).href).toBe(
        `${AFTER_LOGOUT}?state=bye`,
      )
      await expect(refreshTokenGrant(config, next.refresh_token ?? '')).rejects.toMatchObject({
        error: 'invalid_grant',
      })
    },
  )

  test('max_age is held to: the ID token tells when the person signed in', async () => {
    const config = await discovered(ClientSecretBasic)
    const { url, checks } = await begin(config, { max_age: '300' })
    const page = await agent.get(url.href, stayingHere(provider))
    const answer = await signInFrom(provider, agent, page, alice)
    const tokens = await authorizationCodeGrant(config, answer, { ...checks, maxAge: 300 })
    expect(tokens.claims()?.auth_time).toBeGreaterThan(Date.now() / 1000 - 300)
  })

  test('an answer without iss, or with another one, is refused by the client, as discovery tells it', async () => {
    const config = await discovered(ClientSecretBasic)
    const first = await begin(config)
    await signInFrom(provider, agent, await agent.get(first.url.href, stayingHere(provider)), alice)
    const { url, checks } = await begin(config, { prompt: 'none' })
    const answer = redirectOf(await agent.get(url.href, { follow: false }))
    const [without, other] = [new URL(answer), new URL(answer)]
    without.searchParams.delete('iss')
    other.searchParams.set('iss', 'https://evil.test')
    for (const bent of [without, other]) {
      await expect(authorizationCodeGrant(config, bent, checks)).rejects.toMatchObject({
        code: 'OAUTH_INVALID_RESPONSE',
      })
    }
    await expect(authorizationCodeGrant(config, answer, checks)).resolves.toHaveProperty('id_token')
  })

  const document = async (path = '/.well-known/openid-configuration') =>
    (await (await fetch(`${provider.broker.baseUrl}${path}`)).json()) as Record<string, unknown>

  test('both discovery documents are one, and name the issuer that was asked', async () => {
    expect(await document()).toEqual(await document('/.well-known/oauth-authorization-server'))
    expect(await document()).toMatchObject({ issuer: provider.broker.baseUrl })
  })

  test('every endpoint of the discovery document answers, and at our own address', async () => {
    const endpoints = Object.entries(await document()).filter(([name]) => /_endpoint$|_uri$/.test(name))
    expect(endpoints.map(([name]) => name).sort()).toEqual([
      'authorization_endpoint',
      'end_session_endpoint',
      'jwks_uri',
      'token_endpoint',
      'userinfo_endpoint',
    ])
    for (const [, url] of endpoints) {
      expect(String(url).startsWith(`${provider.broker.baseUrl}/`)).toBe(true)
      expect((await fetch(String(url), { redirect: 'manual' })).status).not.toBe(404)
    }
  })

  test('discovery offers nothing that is refused for good', async () => {
    expect(await document()).toMatchObject({
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      code_challenge_methods_supported: ['S256'],
      id_token_signing_alg_values_supported: ['ES256'],
      authorization_response_iss_parameter_supported: true,
      request_parameter_supported: false,
      request_uri_parameter_supported: false,
    })
    expect(await document()).not.toHaveProperty('registration_endpoint')
  })

  test('a Host header does not move an endpoint of the discovery document', async () => {
    const response = await fetch(
      `http://127.0.0.1:${new URL(provider.broker.baseUrl).port}/.well-known/openid-configuration`,
      {
        headers: {
          'x-forwarded-host': 'evil.test',
          'x-forwarded-proto': 'https',
          forwarded: 'host=evil.test',
        },
      },
    )
    expect(await response.json()).toEqual(await document())
  })
})
