import { decodeJwt, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromId } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { Person } from '../../src/demo/peers.ts'
import { createUserAgent, type UserAgent } from '../../src/demo/user-agent.ts'
import { testDatabase } from '../support/database.ts'
import {
  AFTER_LOGOUT,
  alice,
  ask,
  bob,
  credentials,
  type Provider,
  redemption,
  redirectOf,
  registerClient,
  signIn,
  signInFrom,
  startProvider,
  stayingHere,
  tokenRequest,
} from './support/provider.ts'

describe('the logout endpoint', () => {
  const db = testDatabase()
  let provider: Provider
  const agents: UserAgent[] = []

  beforeAll(async () => {
    provider = await startProvider(db.app)
  })

  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.close()))
    await provider.close()
  })

  const tokensFor = async (code: string, asked: ReturnType<typeof ask>) => {
    const form = { ...credentials(provider.client), ...redemption(code, asked) }
    const { body } = await tokenRequest(provider.broker, form)
    return {
      idToken: body.id_token ?? '',
      refreshToken: body.refresh_token ?? '',
      access: body.access_token ?? '',
    }
  }

  const signedIn = async (person: Person = alice) => {
    const agent = createUserAgent()
    agents.push(agent)
    const { code, asked } = await signIn(provider, agent, person)
    const tokens = await tokensFor(code, asked)
    return { agent, ...tokens, sessionId: fromId('ses', String(decodeJwt(tokens.idToken).sid)) }
  }

  const logoutUrl = (parameters: Record<string, string>): string =>
    `${provider.broker.baseUrl}/oauth2/logout?${new URLSearchParams(parameters)}`

  const refreshStatus = async (refreshToken: string): Promise<number> =>
    (
      await tokenRequest(provider.broker, {
        ...credentials(provider.client),
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
      })
    ).status

  const hasSession = async (agent: UserAgent): Promise<boolean> =>
    redirectOf(await agent.get(ask(provider, { prompt: 'none' }).url, { follow: false })).searchParams.has(
      'code',
    )

  const hinted = (idToken: string, more: Record<string, string> = {}) =>
    logoutUrl({ id_token_hint: idToken, ...more })

  test('an ID token ends its session and what hangs on it, and leads to the registered address with its state', async () => {
    const { agent, idToken, refreshToken, access, sessionId } = await signedIn()
    expect(await hasSession(agent)).toBe(true)
    const page = await agent.get(
      hinted(idToken, {
        post_logout_redirect_uri: AFTER_LOGOUT,
        state: 's&1',
        client_id: provider.client.clientId,
      }),
      { follow: false },
    )
    expect(redirectOf(page).href).toBe(`${AFTER_LOGOUT}?state=s%261`)
    expect(await refreshStatus(refreshToken)).toBe(400)
    const userinfo = await fetch(`${provider.broker.baseUrl}/oauth2/userinfo`, {
      headers: { authorization: `Bearer ${access}` },
    })
    expect(userinfo.status).toBe(401)
    expect(agent.cookies(provider.broker.baseUrl).map(({ name }) => name)).not.toContain('portico_session')
    expect(await hasSession(agent)).toBe(false)
    const events = await inTx(provider.acme.ctx, (tx) =>
      provider.broker.services.audit.list(tx, { limit: 1000 }),
    )
    expect(events.filter(({ target_id }) => target_id === sessionId).map(({ action }) => action)).toContain(
      'session.signed_out',
    )
  })

  const notRegistered = [
    `${AFTER_LOGOUT}/`,
    `${AFTER_LOGOUT}?x=1`,
    AFTER_LOGOUT.replace('https', 'http'),
    AFTER_LOGOUT.replace('//', '//evil.test@'),
    'https://evil.test/',
    '//app.test/bye',
    '/\\evil.test',
    'javascript:alert(1)',
    '',
  ]

  test.each(notRegistered)('the address “%s” is not followed, though the session ends', async (address) => {
    const { agent, idToken, refreshToken } = await signedIn()
    const page = await agent.get(hinted(idToken, { post_logout_redirect_uri: address }), { follow: false })
    expect(page.status).toBe(200)
    expect(page.headers.location).toBeUndefined()
    expect(page.text).toContain('You are signed out')
    expect(await refreshStatus(refreshToken)).toBe(400)
  })

  test('an address that another app registered is not followed', async () => {
    const elsewhere = await provider.broker.services.clients.create(provider.broker.ctx, {
      name: 'Another app',
      redirectUris: ['https://other.test/callback'],
      postLogoutRedirectUris: ['https://other.test/bye'],
    })
    expect(elsewhere.client.postLogoutRedirectUris).toEqual(['https://other.test/bye'])
    const { agent, idToken } = await signedIn()
    const page = await agent.get(hinted(idToken, { post_logout_redirect_uri: 'https://other.test/bye' }), {
      follow: false,
    })
    expect(page.headers.location).toBeUndefined()
  })

  test('without a hint the person is asked, by a form that only our page can send', async () => {
    const { agent, refreshToken } = await signedIn()
    const page = await agent.get(logoutUrl({ post_logout_redirect_uri: AFTER_LOGOUT }), { follow: false })
    expect(page.status).toBe(200)
    expect(page.text).toContain('Sign out?')
    const form = page.form('csrf')
    expect(await hasSession(agent)).toBe(true)

    await agent.get(logoutUrl({}))
    const forgeries = [
      await agent.postForm(form.action, {}),
      await agent.postForm(form.action, { csrf: 'A'.repeat(43) }),
      await agent.submit(form, {}, { headers: { origin: 'https://evil.test' } }),
    ]
    expect(forgeries.map(({ status }) => status)).toEqual([403, 403, 403])
    expect(await hasSession(agent)).toBe(true)

    const done = await agent.submit((await agent.get(logoutUrl({}))).form('csrf'))
    expect(done.text).toContain('You are signed out')
    expect(await hasSession(agent)).toBe(false)
    expect(await refreshStatus(refreshToken)).toBe(400)
  })

  const forged: [string, (idToken: string, access: string) => string | Promise<string>][] = [
    ['an access token', (_, access) => access],
    ['rubbish', () => 'rubbish'],
    ['an ID token without its signature', (idToken) => `${idToken.split('.').slice(0, 2).join('.')}.`],
    [
      'an ID token signed by somebody else',
      async (idToken) => {
        const { privateKey } = await generateKeyPair('ES256')
        const { kid } = await provider.broker.services.keys.current(provider.broker.ctx)
        return new SignJWT(decodeJwt(idToken))
          .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid })
          .sign(privateKey)
      },
    ],
  ]

  test.each(forged)('%s as the hint ends nothing: the person is asked', async (_, forge) => {
    const { agent, idToken, access, refreshToken } = await signedIn()
    const page = await agent.get(hinted(await forge(idToken, access)), { follow: false })
    expect(page.text).toContain('Sign out?')
    expect(await refreshStatus(refreshToken)).toBe(200)
    expect(await hasSession(agent)).toBe(true)
  })

  test('a hint of one client beside the ID of another ends nothing', async () => {
    const other = await registerClient(provider.broker)
    const { agent, idToken } = await signedIn()
    const page = await agent.get(hinted(idToken, { client_id: other.clientId }), { follow: false })
    expect(page.text).toContain('Sign out?')
    expect(await hasSession(agent)).toBe(true)
  })

  test('an app may post its hint, and its session ends', async () => {
    const { agent, idToken, refreshToken } = await signedIn()
    const page = await agent.postForm(
      `${provider.broker.baseUrl}/oauth2/logout`,
      { id_token_hint: idToken, post_logout_redirect_uri: AFTER_LOGOUT },
      { headers: { origin: 'https://app.test' }, follow: false },
    )
    expect(redirectOf(page).href).toBe(AFTER_LOGOUT)
    expect(await refreshStatus(refreshToken)).toBe(400)
  })

  test('nobody is signed out by being sent here with somebody else’s ID token', async () => {
    const [victim, attacker] = [await signedIn(alice), await signedIn(bob)]
    const page = await victim.agent.get(
      hinted(attacker.idToken, { post_logout_redirect_uri: AFTER_LOGOUT }),
      {
        follow: false,
      },
    )
    expect(redirectOf(page).href).toBe(AFTER_LOGOUT)
    expect(await hasSession(victim.agent)).toBe(true)
    expect(await refreshStatus(victim.refreshToken)).toBe(200)
    expect(await refreshStatus(attacker.refreshToken)).toBe(400)
  })

  test('somebody who has signed in anew since is signed out of the newer session too', async () => {
    const { agent, idToken } = await signedIn()
    const asked = ask(provider, { prompt: 'login' })
    const answer = await signInFrom(provider, agent, await agent.get(asked.url, stayingHere(provider)), alice)
    const newer = await tokensFor(answer.searchParams.get('code') ?? '', asked)
    await agent.get(hinted(idToken))
    expect(await hasSession(agent)).toBe(false)
    expect(await refreshStatus(newer.refreshToken)).toBe(400)
  })

  test('signing out twice is signing out once', async () => {
    const { agent, idToken } = await signedIn()
    for (let turn = 0; turn < 3; turn += 1) {
      expect((await agent.get(hinted(idToken))).text).toContain('You are signed out')
    }
    const sid = fromId('ses', String(decodeJwt(idToken).sid))
    const events = await inTx(provider.acme.ctx, (tx) =>
      provider.broker.services.audit.list(tx, { limit: 1000 }),
    )
    expect(
      events.filter((event) => event.action === 'session.signed_out' && event.target_id === sid),
    ).toHaveLength(1)
  })

  test('the page after a repeated parameter ends nothing', async () => {
    const { agent, idToken } = await signedIn()
    const page = await agent.get(`${hinted(idToken)}&id_token_hint=x`, { follow: false })
    expect(page.status).toBe(400)
    expect(await hasSession(agent)).toBe(true)
  })
})
