import type { Browser, Cookie } from 'playwright-core'
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../src/db/embedded/cluster.ts'
import type { DemoApp } from '../../src/demo/app.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { expectAccessible, launchBrowser } from '../support/browser.ts'
import { testDatabase } from '../support/database.ts'
import { samlCompany } from '../support/scenario.ts'
import { type Authority, createAuthority, terminateTls } from '../support/tls.ts'
import { expectHandleToStay, expectNoSecretInAddresses, record, type Visit } from './recording.ts'
import { alice, namedApp, people } from './stage.ts'
import { arrive, button, emailField, identify, openLogin, pick } from './steps.ts'

const SESSION = '__Host-portico_session'
const BROWSER = '__Host-portico_browser'

const closing: (() => unknown)[] = []

/** Puts TLS in front of a port that is about to be listened on. */
const publish = async (authority: Authority, host: string, port: number) => {
  const certificate = await authority.issue(host)
  const terminator = await terminateTls({ host, certificate, target: `http://localhost:${port}` })
  closing.push(terminator.close)
  return { port, baseUrl: terminator.url }
}

/** The app calls the broker under its public name, which only this test knows. */
const letAppsFind = (authority: Authority): void => {
  const before = getGlobalDispatcher()
  const agent = new Agent({
    connect: {
      ca: authority.certificatePem,
      lookup: (_host, { all }, done) =>
        all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
    },
  })
  setGlobalDispatcher(agent)
  closing.push(() => {
    setGlobalDispatcher(before)
    return agent.close()
  })
}

describe('over TLS, with broker, IdP and app on three sites', () => {
  const db = testDatabase()
  let authority: Authority
  let broker: TestBroker
  let app: DemoApp
  let browser: Browser
  let idpUrl: string
  let seen: Visit[]
  let complaints: readonly string[]
  let cookies: Cookie[][]
  let tokens: string[]

  const startEverything = async (): Promise<void> => {
    authority = await createAuthority()
    letAppsFind(authority)
    let brokerPort = 0
    const front = await terminateTls({
      host: 'broker.portico.test',
      certificate: await authority.issue('broker.portico.test'),
      target: () => `http://localhost:${brokerPort}`,
    })
    const started = await startBroker({ db: db.app, baseUrl: front.url })
    brokerPort = started.port
    broker = started
    closing.push(front.close, started.close)
    const idp = await startSamlIdp({
      people,
      ...(await publish(authority, 'idp.company.test', await freePort())),
    })
    idpUrl = idp.url
    app = await namedApp(broker, 'Harbour', await publish(authority, 'app.platform.test', await freePort()))
    closing.push(idp.close, app.close)
    await samlCompany(broker, idp, { domain: 'acme.test' })
    browser = await launchBrowser({ args: [`--ignore-certificate-errors-spki-list=${authority.spki}`] })
    closing.push(() => browser.close())
  }

  /** Two sign-ins in a row in one browser, watched; the tests look at what was seen. */
  beforeAll(async () => {
    await startEverything()
    const context = await browser.newContext()
    const recording = record(context)
    const tab = await context.newPage()
    cookies = []
    for (const prompt of ['', '?prompt=login']) {
      await tab.goto(`${app.url}/sign-in${prompt}`)
      await emailField(tab).waitFor()
      cookies.push(await context.cookies(broker.baseUrl))
      await identify(tab, alice.email)
      await pick(tab, alice)
      expect(await arrive(tab, app)).toContain(alice.email)
      cookies.push(await context.cookies(broker.baseUrl))
    }
    seen = await recording.visits()
    complaints = recording.complaints()
    tokens = Object.values(app.lastTokens() ?? {}).filter((token) => token !== undefined)
    await context.close()
  })

  afterAll(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const atBroker = (method: string, path: string): Visit[] =>
    seen.filter(
      ({ url, method: used }) =>
        used === method && url.startsWith(broker.baseUrl) && new URL(url).pathname.includes(path),
    )

  const cookieOf = (moment: number, name: string): Cookie | undefined =>
    cookies[moment]?.find((cookie) => cookie.name === name)

  test('the login form goes on to the IdP, and the IdP’s form to the ACS, by 303 each', () => {
    const [login] = atBroker('POST', '/login')
    expect(login?.status).toBe(303)
    expect(login?.answer.location).toContain(`${idpUrl}/sso?`)
    const [acs] = atBroker('POST', '/acs')
    expect(acs?.status).toBe(303)
    expect(acs?.answer.location).toContain(`${app.redirectUri}?`)
  })

  test('the cross-site POST carries the browser’s cookie and no session', () => {
    const posts = atBroker('POST', '/acs')
    expect(posts).toHaveLength(2)
    for (const { cookie } of posts) {
      expect(cookie).toContain(`${BROWSER}=`)
      expect(cookie).not.toContain(SESSION)
    }
    // The same session cookie does go along where the person is led by a link.
    const [, second] = atBroker('GET', '/oauth2/authorize')
    expect(second?.cookie).toContain(`${SESSION}=`)
  })

  test('every cookie is __Host-, Secure and HttpOnly; only the one for flows crosses sites', () => {
    const last = cookies.at(-1) ?? []
    expect(last.map(({ name, sameSite }) => [name, sameSite]).sort()).toEqual([
      [BROWSER, 'None'],
      [SESSION, 'Lax'],
    ])
    for (const cookie of last) {
      expect(cookie).toMatchObject({ secure: true, httpOnly: true, path: '/', domain: 'broker.portico.test' })
    }
    for (const { answer } of seen.filter(({ url }) => url.startsWith(broker.baseUrl))) {
      for (const line of (answer['set-cookie'] ?? '').split('\n').filter(Boolean)) {
        expect(line).toMatch(
          /^__Host-portico_(session|browser)=[^;]+; Path=\/; HttpOnly; SameSite=(Lax|None); Secure/,
        )
        expect(line).not.toContain('Domain')
      }
    }
  })

  test('the browser’s cookie lasts for a week, the session’s until the browser closes', () => {
    const days = ((cookieOf(0, BROWSER)?.expires ?? 0) - Date.now() / 1000) / 86_400
    expect(days).toBeGreaterThan(6.9)
    expect(days).toBeLessThanOrEqual(7)
    expect(cookieOf(1, SESSION)?.expires).toBe(-1)
  })

  test('each sign-in makes a new session, in the same browser', () => {
    expect(cookieOf(0, SESSION)).toBeUndefined()
    const [first, second] = [cookieOf(1, SESSION)?.value, cookieOf(3, SESSION)?.value]
    expect(first).toBeTruthy()
    expect(second).toBeTruthy()
    expect(second).not.toBe(first)
    expect(new Set([0, 1, 2, 3].map((moment) => cookieOf(moment, BROWSER)?.value)).size).toBe(1)
  })

  test('no page has anything to complain of, under a policy without script, frame or form-action', () => {
    expect(complaints).toEqual([])
    const [page] = atBroker('GET', '/login')
    const policy = page?.answer['content-security-policy'] ?? ''
    expect(policy).toMatch(/default-src 'none';style-src 'sha256-[^']+';img-src data:/)
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('form-action')
    expect(policy).not.toContain('unsafe')
    expect(page?.answer).toMatchObject({
      'strict-transport-security': 'max-age=63072000; includeSubDomains',
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cache-control': 'no-store',
    })
  })

  test('nothing secret is in an address, and no site hears of another’s', () => {
    const values = cookies.flat().map(({ value }) => value)
    expect(tokens).toHaveLength(3)
    expectNoSecretInAddresses(seen, [...tokens, ...values])
    expectHandleToStay(seen, broker.baseUrl)
    for (const { url, referer } of seen) {
      expect(new URL(referer ?? url).origin).toBe(new URL(url).origin)
    }
    // Between our own pages it is sent, since without it browsers would say `Origin: null` with our forms.
    expect(atBroker('POST', '/login')[0]?.referer).toContain(broker.baseUrl)
  })

  test('the code goes to the app and nowhere else', () => {
    const carrying = seen.filter(({ url }) => new URL(url).searchParams.has('code'))
    expect(carrying).toHaveLength(2)
    for (const { url } of carrying) expect(url.startsWith(`${app.redirectUri}?`)).toBe(true)
  })

  test('a policy that is broken does show in the console', async () => {
    const context = await browser.newContext()
    const recording = record(context)
    const tab = await context.newPage()
    await openLogin(tab, app)
    expect(recording.complaints()).toEqual([])
    await tab.evaluate(`document.body.append(Object.assign(document.createElement('script'), { text: '1' }))`)
    await expect.poll(() => recording.complaints().join()).toContain('Content Security Policy')
    await context.close()
  })

  test('two tabs finish side by side, and signing out clears the session', async () => {
    const context = await browser.newContext()
    const [first, second] = [await context.newPage(), await context.newPage()]
    await openLogin(first, app)
    await openLogin(second, app)
    await identify(first, alice.email)
    await identify(second, alice.email)
    await pick(second, alice)
    expect(await arrive(second, app)).toContain(alice.email)
    await pick(first, alice)
    expect(await arrive(first, app)).toContain(alice.email)

    await first.goto(`${broker.baseUrl}/oauth2/logout`)
    await expectAccessible(first)
    await button(first, 'Sign out').click()
    await first.getByRole('heading', { name: 'You are signed out' }).waitFor()
    expect((await context.cookies(broker.baseUrl)).map(({ name }) => name)).toEqual([BROWSER])
    await context.close()
  })
})
