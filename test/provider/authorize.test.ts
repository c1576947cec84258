import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromId, toId } from '../../src/core/ids.ts'
import { createUserAgent, type UserAgent } from '../../src/demo/user-agent.ts'
import { testDatabase } from '../support/database.ts'
import { movableClock } from '../tokens/support/installation.ts'
import {
  AFTER_LOGOUT,
  alice,
  ask,
  bob,
  credentials,
  greta,
  type Provider,
  REDIRECT_URI,
  redemption,
  redirectOf,
  registerClient,
  signIn,
  signInFrom,
  startProvider,
  stayingHere,
  tokenRequest,
} from './support/provider.ts'

describe('the authorization endpoint', () => {
  const db = testDatabase()
  const clock = movableClock()
  let provider: Provider
  const agents: UserAgent[] = []

  const browser = (): UserAgent => {
    const agent = createUserAgent()
    agents.push(agent)
    return agent
  }

  beforeAll(async () => {
    provider = await startProvider(db.app, { clock })
  })

  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.close()))
    await provider.close()
  })

  const visit = (url: string) => fetch(url, { redirect: 'manual' })

  const answerTo = async (changes: Record<string, string | undefined>): Promise<URL> => {
    const response = await visit(ask(provider, changes).url)
    expect(response.status).toBe(303)
    return new URL(response.headers.get('location') ?? '', provider.broker.baseUrl)
  }

  const toLogin = async (changes: Record<string, string | undefined>): Promise<void> => {
    const { pathname, origin, searchParams } = await answerTo(changes)
    expect(`${origin}${pathname}`).toBe(`${provider.broker.baseUrl}/login`)
    expect(searchParams.get('request')).toMatch(/^[\w-]{43}$/)
  }

  const faults: [string, Record<string, string | undefined>, string, Record<string, string | undefined>][] = [
    ['another response type', { response_type: 'token' }, 'unsupported_response_type', {}],
    ['a hybrid response type', { response_type: 'code id_token' }, 'unsupported_response_type', {}],
    ['no response type', { response_type: undefined }, 'unsupported_response_type', {}],
    [
      'the fragment response mode',
      { response_mode: 'fragment' },
      'invalid_request',
      { response_mode: 'query' },
    ],
    ['the form_post response mode', { response_mode: 'form_post' }, 'invalid_request', { response_mode: '' }],
    ['no PKCE', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request', {}],
    ['PKCE plain', { code_challenge_method: 'plain' }, 'invalid_request', {}],
    [
      'PKCE without its method, which would mean plain',
      { code_challenge_method: undefined },
      'invalid_request',
      {},
    ],
    ['a challenge that is no SHA-256', { code_challenge: 'short' }, 'invalid_request', {}],
    ['a scope that nobody offers', { scope: 'openid admin' }, 'invalid_scope', { scope: 'openid  email' }],
    ['a scope without openid', { scope: 'profile' }, 'invalid_scope', { scope: undefined }],
    ['a request object', { request: 'e30.e30.' }, 'request_not_supported', { request: '' }],
    ['a request by reference', { request_uri: 'https://evil.test/r' }, 'request_not_supported', {}],
    ['a prompt for consent', { prompt: 'consent' }, 'invalid_request', { prompt: 'login' }],
    ['two prompts', { prompt: 'none login' }, 'invalid_request', { prompt: '' }],
    ['a max_age that is no number', { max_age: '-1' }, 'invalid_request', { max_age: '60' }],
    [
      'a null character',
      { login_hint: 'x@acme.test\0' },
      'invalid_request',
      { login_hint: 'x@nowhere.test' },
    ],
    [
      'a nonce of more than 1,024 characters',
      { nonce: 'n'.repeat(1025) },
      'invalid_request',
      { nonce: 'n'.repeat(1024) },
    ],
  ]

  test.each(faults)(
    '%s is refused to the app, with state and iss; the nearest honest request goes on',
    async (_, changes, error, honest) => {
      const answer = await answerTo(changes)
      expect(Object.fromEntries(answer.searchParams)).toEqual({
        from: 'portico',
        error,
        error_description: expect.any(String),
        state: 'a state & more',
        iss: provider.broker.baseUrl,
      })
      expect(`${answer.origin}${answer.pathname}`).toBe('https://app.test/callback')
      await toLogin(honest)
    },
  )

  test('a state that was not sent does not come back', async () => {
    const answer = await answerTo({ state: undefined, scope: 'nonsense' })
    expect(answer.searchParams.has('state')).toBe(false)
  })

  const unanswered: [string, Record<string, string | undefined>][] = [
    ['an unknown client', { client_id: toId('cli', '0195f7a0-0000-7000-8000-000000000000') }],
    ['no client', { client_id: undefined }],
    ['a client ID that is none', { client_id: "' or 1=1 --" }],
    ['no redirect URI', { redirect_uri: undefined }],
    ['a prefix of the redirect URI', { redirect_uri: 'https://app.test/' }],
    ['the redirect URI with more path', { redirect_uri: 'https://app.test/callback/more?from=portico' }],
    ['the redirect URI with a trailing slash', { redirect_uri: 'https://app.test/callback/?from=portico' }],
    ['the redirect URI without its query', { redirect_uri: 'https://app.test/callback' }],
    ['the redirect URI with more query', { redirect_uri: `${REDIRECT_URI}&to=evil` }],
    ['the redirect URI with a fragment', { redirect_uri: `${REDIRECT_URI}#` }],
    ['the redirect URI over http', { redirect_uri: REDIRECT_URI.replace('https:', 'http:') }],
    ['the redirect URI with its port', { redirect_uri: REDIRECT_URI.replace('app.test', 'app.test:443') }],
    [
      'the redirect URI with user information',
      { redirect_uri: REDIRECT_URI.replace('app.test', 'app.test@evil.test') },
    ],
    ['the redirect URI on a subdomain', { redirect_uri: REDIRECT_URI.replace('app.test', 'x.app.test') }],
    ['the redirect URI in capitals', { redirect_uri: REDIRECT_URI.replace('app.test', 'APP.test') }],
    [
      'the redirect URI with dots in its path',
      { redirect_uri: REDIRECT_URI.replace('/callback', '/x/../callback') },
    ],
    ['the redirect URI percent-encoded', { redirect_uri: REDIRECT_URI.replace('callback', 'callb%61ck') }],
    ['the redirect URI with a backslash', { redirect_uri: REDIRECT_URI.replace('//app', '/\\app') }],
    ['the redirect URI with a null byte', { redirect_uri: `${REDIRECT_URI}\0` }],
    ['the redirect URI with a space', { redirect_uri: ` ${REDIRECT_URI}` }],
    ['a scheme-relative redirect URI', { redirect_uri: '//app.test/callback?from=portico' }],
    ['a path as the redirect URI', { redirect_uri: '/callback?from=portico' }],
    ['a javascript: redirect URI', { redirect_uri: 'javascript:alert(1)' }],
    ['the address after a logout as the redirect URI', { redirect_uri: AFTER_LOGOUT }],
  ]

  test.each(unanswered)('%s gets a page and no redirect', async (_, changes) => {
    const response = await visit(ask(provider, changes).url)
    expect(response.status).toBe(400)
    expect(response.headers.get('location')).toBeNull()
    expect(response.headers.get('content-type')).toContain('text/html')
    const page = await response.text()
    expect(page).toMatch(/req_[\w-]{16}/)
    for (const value of Object.values(changes)) {
      if (value?.includes('evil')) expect(page).not.toContain('evil')
    }
    await toLogin({})
  })

  test.each(['state', 'client_id', 'redirect_uri', 'scope', 'prompt', 'anything'])(
    'a request that repeats %s gets a page and no redirect',
    async (name) => {
      const { url } = ask(provider, { [name]: ask(provider).parameters[name] ?? 'login' })
      const value = new URL(url).searchParams.get(name) ?? ''
      const repeated = await visit(`${url}&${new URLSearchParams({ [name]: value })}`)
      expect(repeated.status).toBe(400)
      expect(repeated.headers.get('location')).toBeNull()
      expect((await visit(url)).status).toBe(303)
    },
  )

  test('redirects are 303 and not kept by caches', async () => {
    const response = await visit(ask(provider).url)
    expect(response.status).toBe(303)
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  describe('with a session', () => {
    test('prompt=none answers login_required in a strange browser and a code in a signed-in one', async () => {
      const stranger = await answerTo({ prompt: 'none' })
      expect(Object.fromEntries(stranger.searchParams)).toEqual({
        from: 'portico',
        error: 'login_required',
        state: 'a state & more',
        iss: provider.broker.baseUrl,
      })
      const agent = browser()
      await signIn(provider, agent, alice)
      const asked = ask(provider, { prompt: 'none' })
      const answer = redirectOf(await agent.get(asked.url, { follow: false }))
      expect(answer.searchParams.get('iss')).toBe(provider.broker.baseUrl)
      expect(answer.searchParams.get('state')).toBe('a state & more')
      const { status, body } = await tokenRequest(provider.broker, {
        ...credentials(provider.client),
        ...redemption(answer.searchParams.get('code') ?? '', asked),
      })
      expect(status).toBe(200)
      expect(decodeJwt(body.id_token ?? '')).toMatchObject({ email: alice.email, nonce: 'a nonce' })
    })

    test('prompt=login asks again although there is a session, and the new one replaces it', async () => {
      const agent = browser()
      await signIn(provider, agent, alice)
      const before = agent.cookies(provider.broker.baseUrl).find(({ name }) => name === 'portico_session')
      const page = await agent.get(ask(provider, { prompt: 'login' }).url, stayingHere(provider))
      expect(new URL(page.url).pathname).toBe('/login')
      await signInFrom(provider, agent, page, alice)
      const after = agent.cookies(provider.broker.baseUrl).find(({ name }) => name === 'portico_session')
      expect(after?.value).not.toBe(before?.value)
    })

    test('max_age asks again once the sign-in is older', async () => {
      const agent = browser()
      await signIn(provider, agent, alice)
      const asking = async (maxAge: string) =>
        redirectOf(await agent.get(ask(provider, { prompt: 'none', max_age: maxAge }).url, { follow: false }))
      expect((await asking('3600')).searchParams.has('code')).toBe(true)
      clock.advance(120)
      expect((await asking('60')).searchParams.get('error')).toBe('login_required')
      expect((await asking('3600')).searchParams.has('code')).toBe(true)
      const page = await agent.get(ask(provider, { max_age: '60' }).url, stayingHere(provider))
      expect(new URL(page.url).pathname).toBe('/login')
      clock.moveTo(new Date())
    })

    test('an id_token_hint of somebody else gets no answer from this session', async () => {
      const [agent, neighbour] = [browser(), browser()]
      const tokensOf = async (who: UserAgent, person: typeof alice) => {
        const { code, asked } = await signIn(provider, who, person)
        const form = { ...credentials(provider.client), ...redemption(code, asked) }
        return (await tokenRequest(provider.broker, form)).body.id_token ?? ''
      }
      const [own, foreign] = [await tokensOf(agent, alice), await tokensOf(neighbour, bob)]
      const asking = async (hint: string) =>
        redirectOf(
          await agent.get(ask(provider, { prompt: 'none', id_token_hint: hint }).url, { follow: false }),
        )
      expect((await asking(own)).searchParams.has('code')).toBe(true)
      expect((await asking(foreign)).searchParams.get('error')).toBe('login_required')
      expect((await asking('rubbish')).searchParams.get('error')).toBe('login_required')
    })

    test('a session answers for its own organisation only', async () => {
      const agent = browser()
      await signIn(provider, agent, alice)
      const asking = async (org: string) =>
        redirectOf(await agent.get(ask(provider, { prompt: 'none', org }).url, { follow: false }))
      expect((await asking(provider.acme.orgId)).searchParams.has('code')).toBe(true)
      expect((await asking(provider.globex.orgId)).searchParams.get('error')).toBe('login_required')
      expect((await asking('no-such-org')).searchParams.get('error')).toBe('login_required')
    })

    test('an app of one organisation is not answered for people of another', async () => {
      const globexApp = await registerClient(provider.broker, { orgId: provider.globex.ctx.orgId })
      const theirs = { ...provider, client: globexApp }
      const agent = browser()
      await signIn(provider, agent, alice)
      const asked = ask(theirs, { prompt: 'none' })
      expect(redirectOf(await agent.get(asked.url, { follow: false })).searchParams.get('error')).toBe(
        'login_required',
      )
      const page = await agent.get(ask(theirs).url, stayingHere(provider))
      const refused = await agent.submit(page.form('email'), { email: alice.email }, stayingHere(provider))
      expect(refused.status).toBe(400)
      expect((await signIn(theirs, browser(), greta)).code).toMatch(/^ptc_code_/)
    })

    test('a session whose user was deactivated answers nothing', async () => {
      const agent = browser()
      const { code, asked } = await signIn(provider, agent, bob)
      const { body } = await tokenRequest(provider.broker, {
        ...credentials(provider.client),
        ...redemption(code, asked),
      })
      const { users } = provider.broker.services
      const id = fromId('usr', decodeJwt(body.id_token ?? '').sub ?? '')
      await users.setActive(provider.acme.ctx, id, false)
      const again = ask(provider, { prompt: 'none' })
      expect(redirectOf(await agent.get(again.url, { follow: false })).searchParams.get('error')).toBe(
        'login_required',
      )
      await users.setActive(provider.acme.ctx, id, true)
      expect(redirectOf(await agent.get(again.url, { follow: false })).searchParams.get('error')).toBe(
        'login_required',
      )
      expect((await signIn(provider, agent, bob)).code).toMatch(/^ptc_code_/)
    })
  })

  describe('hints', () => {
    test('a login_hint leads straight to the company’s IdP', async () => {
      const page = await browser().get(ask(provider, { login_hint: alice.email }).url, stayingHere(provider))
      expect(new URL(page.url).origin).toBe(provider.saml.url)
    })

    test('an org leads straight to its IdP', async () => {
      const page = await browser().get(
        ask(provider, { org: provider.globex.orgId }).url,
        stayingHere(provider),
      )
      expect(new URL(page.url).origin).toBe(provider.saml.url)
    })

    test.each([
      ['an address of nobody’s domain', { login_hint: 'x@nowhere.test' }],
      ['an address that is none', { login_hint: '<script>' }],
      ['an empty address', { login_hint: '' }],
      ['an organisation that does not exist', { org: toId('org', '0195f7a0-0000-7000-8000-000000000000') }],
      ['an organisation ID that is none', { org: 'acme' }],
    ])('%s is a hint and no fault: the page asks', async (_, changes) => {
      const agent = browser()
      const page = await agent.get(ask(provider, changes).url, stayingHere(provider))
      expect(page.status).toBe(200)
      expect(new URL(page.url).pathname).toBe('/login')
      expect((await signInFrom(provider, agent, page, alice)).searchParams.has('code')).toBe(true)
    })
  })
})
