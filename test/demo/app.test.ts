import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type DemoApp, startDemoApp } from '../../src/demo/app.ts'
import { createUserAgent, type Page } from '../../src/demo/user-agent.ts'
import { type Faults, type StandInBroker, standInClient, startStandInBroker } from './stand-in-broker.ts'

const JSON_ONLY = { headers: { accept: 'application/json' } }
const closing: (() => unknown)[] = []
let broker: StandInBroker
let app: DemoApp

beforeAll(async () => {
  broker = await startStandInBroker()
  app = await startDemoApp()
  app.setClient(standInClient(broker))
  closing.push(broker.close, app.close)
})
beforeEach(() => {
  broker.faults = {}
  broker.tokenRequests.length = 0
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const agent = () => {
  const created = createUserAgent()
  closing.push(created.close)
  return created
}

const signedIn = async () => {
  const browser = agent()
  const page = await browser.get(`${app.url}/sign-in`)
  expect(page).toMatchObject({ status: 200, url: `${app.url}/` })
  return { browser, page }
}

describe('signing in at the demo app', () => {
  test('shows who is signed in, as text', async () => {
    const { page } = await signedIn()
    for (const fact of ['Ada Lovelace', 'ada@acme.test', 'org_acme', 'ses_1'])
      expect(page.text).toContain(fact)
    expect(page.text).toContain('member, &lt;i>admin&lt;/i>')
  })

  test('asks with PKCE, state and nonce, and authenticates by client_secret_basic', async () => {
    const browser = agent()
    const leaving = await browser.get(`${app.url}/sign-in?login_hint=ada@acme.test&redirect_uri=x`, {
      follow: false,
    })
    const query = new URL(String(leaving.headers.location)).searchParams
    expect(Object.fromEntries(query)).toMatchObject({
      response_type: 'code',
      client_id: 'cli_demo',
      redirect_uri: app.redirectUri,
      scope: 'openid profile email offline_access',
      code_challenge_method: 'S256',
      login_hint: 'ada@acme.test',
    })
    expect(query.get('code_challenge')).toMatch(/^[\w-]{43}$/)
    expect(query.get('state')).not.toBe(query.get('nonce'))
    await browser.get(String(leaving.headers.location))
    expect(broker.tokenRequests).toMatchObject([{ form: { grant_type: 'authorization_code' } }])
    expect(broker.tokenRequests[0]?.form.client_secret).toBeUndefined()
  })

  test('tells a script the same, and hands tokens to its own process only', async () => {
    const { browser } = await signedIn()
    const me = await browser.get('/me.json')
    expect(me.json()).toMatchObject({
      signedIn: true,
      sub: 'usr_ada',
      name: 'Ada Lovelace',
      orgId: 'org_acme',
      sessionId: 'ses_1',
      claims: { epoch: 1 },
    })
    const tokens = app.lastTokens()
    expect(tokens?.accessToken).toMatch(/^eyJ/)
    expect(me.text).not.toContain(tokens?.accessToken)
    expect(await agent().get(`${app.url}/me.json`)).toMatchObject({ status: 401 })
  })

  test('two tabs at once both finish', async () => {
    const browser = agent()
    const tabs = [
      await browser.get(`${app.url}/sign-in`, { follow: false }),
      await browser.get(`${app.url}/sign-in`, { follow: false }),
    ]
    for (const tab of tabs) {
      const page = await browser.get(String(tab.headers.location))
      expect(page.text).toContain('You are signed in')
    }
  })
})

describe('what the demo app refuses', () => {
  const signInWith = async (faults: Faults): Promise<Page> => {
    broker.faults = faults
    return agent().get(`${app.url}/sign-in`)
  }
  const refusals: [string, Faults, string][] = [
    ['an ID token as access token', { accessHeader: { typ: 'JWT' } }, 'access token'],
    ['a token of a stranger’s key', { strangeKey: true }, 'ID token'],
    ['an access token of another issuer', { access: { iss: 'https://evil.test' } }, 'access token'],
    ['an access token for another app', { access: { aud: 'https://other.test' } }, 'access token'],
    ['an access token that has expired', { access: { exp: 1 } }, 'access token'],
    ['an access token without a session', { access: { sid: undefined } }, 'access token'],
    ['an access token without an epoch', { access: { epoch: undefined } }, 'access token'],
    ['an access token of somebody else', { access: { sub: 'usr_bob' } }, 'different people'],
    ['an ID token for another client', { id: { aud: 'cli_other' } }, 'ID token'],
    ['an ID token of another sign-in', { id: { nonce: 'replayed' } }, 'not made for this sign-in'],
    ['an answer of another issuer', { responseIssuer: 'https://evil.test' }, 'another issuer'],
    ['an answer without a code', { authorizeError: 'access_denied' }, 'access_denied'],
    ['a refused code', { tokenError: 'invalid_grant' }, 'invalid_grant'],
  ]
  test.each(refusals)('%s signs nobody in', async (_, faults, said) => {
    const page = await signInWith(faults)
    expect(page.text).toContain('Nobody is signed in')
    expect(page.text).toContain(said)
    expect((await signInWith({})).text).toContain('You are signed in')
  })

  test('a callback that another browser began signs nobody in', async () => {
    const mine = agent()
    const left = await mine.get(`${app.url}/sign-in`, { follow: false })
    const back = await mine.get(String(left.headers.location), { follow: false })
    const victim = await agent().get(String(back.headers.location))
    expect(victim.text).toContain('not begun in this browser')
    expect(broker.tokenRequests).toEqual([])
    expect((await mine.get(String(back.headers.location))).text).toContain('You are signed in')
  })

  test('a callback counts once', async () => {
    const browser = agent()
    const left = await browser.get(`${app.url}/sign-in`, { follow: false })
    const back = await browser.get(String(left.headers.location), { follow: false })
    await browser.get(String(back.headers.location))
    expect((await browser.get(String(back.headers.location))).text).toContain('not begun in this browser')
    expect(broker.tokenRequests).toHaveLength(1)
  })

  test('without a broker it says so', async () => {
    const lonely = await startDemoApp()
    closing.push(lonely.close)
    expect((await agent().get(`${lonely.url}/sign-in`)).text).toContain('not registered at a broker')
    const { port } = new URL(lonely.url)
    lonely.setClient({ ...standInClient(broker), issuer: `http://localhost:${port}` })
    expect((await agent().get(`${lonely.url}/sign-in`)).text).toContain('has no discovery document')
  })
})

describe('the session at the demo app', () => {
  test('gets a new ID at sign-in', async () => {
    const browser = agent()
    await browser.get(`${app.url}/sign-in`, { follow: false })
    const before = browser.cookies(app.url)[0]?.value
    await browser.get(`${app.url}/sign-in`)
    const [after] = browser.cookies(app.url)
    expect(after).toMatchObject({ httpOnly: true, sameSite: 'lax', path: '/' })
    expect(after?.value).not.toBe(before)
  })

  test('refreshes by a button, and by JSON for scripts', async () => {
    const { browser, page } = await signedIn()
    const first = app.lastTokens()
    const refreshed = await browser.submit(
      page.forms().find(({ action }) => action.endsWith('/refresh')) ?? expect.unreachable(),
    )
    expect(refreshed.text).toContain('You are signed in')
    const second = app.lastTokens()
    expect(second?.accessToken).not.toBe(first?.accessToken)
    expect(second?.idToken).toBe(first?.idToken)
    expect((await browser.postForm('/refresh', {}, JSON_ONLY)).json()).toEqual({ ok: true })
    expect(broker.tokenRequests.at(-1)?.form).toEqual({
      grant_type: 'refresh_token',
      refresh_token: second?.refreshToken,
    })
  })

  test('ends when the broker refuses the refresh token', async () => {
    const { browser } = await signedIn()
    broker.faults = { tokenError: 'invalid_grant' }
    const refused = await browser.postForm(`${app.url}/refresh`, {}, JSON_ONLY)
    expect(refused.status).toBe(401)
    expect(refused.json()).toMatchObject({ ok: false, error: 'invalid_grant' })
    expect((await browser.get('/me.json')).json()).toEqual({ signedIn: false, error: 'nobody' })
  })

  test('stays when the broker is only unwell', async () => {
    const { browser } = await signedIn()
    broker.faults = { tokenError: 'temporarily_unavailable' }
    expect((await browser.postForm('/refresh', {}, JSON_ONLY)).status).toBe(401)
    expect((await browser.get('/me.json')).status).toBe(200)
  })

  test('a token refreshed for somebody else is refused', async () => {
    const { browser } = await signedIn()
    broker.faults = { access: { sub: 'usr_bob' } }
    expect((await browser.postForm('/refresh', {}, JSON_ONLY)).json()).toMatchObject({ ok: false })
    expect((await browser.get('/me.json')).json()).toMatchObject({ sub: 'usr_ada' })
  })

  test('signing out ends it here and goes on at the broker', async () => {
    const { browser, page } = await signedIn()
    const idToken = app.lastTokens()?.idToken
    const out = await browser.submit(
      page.forms().find(({ action }) => action.endsWith('/sign-out')) ?? expect.unreachable(),
    )
    expect(out.json()).toMatchObject({ path: '/oauth2/logout', query: { id_token_hint: idToken } })
    expect((await browser.get(`${app.url}/me.json`)).status).toBe(401)
  })
})
