import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { testDatabase } from '../support/database.ts'
import { oidcCompany } from '../support/scenario.ts'
import { record } from './recording.ts'
import { alice, dora, openStage, type Stage } from './stage.ts'
import { arrive, button, emailField, identify, isFocused, openLogin, PAGES, pick, tabTo } from './steps.ts'

const REFERENCE = /^evt_[0-9a-z]{26}$/

describe('being refused in a real browser', () => {
  const db = testDatabase()
  let stage: Stage
  let context: BrowserContext
  let tab: Page

  beforeAll(async () => {
    stage = await openStage(db)
  })

  afterAll(() => stage.close())

  beforeEach(async () => {
    context = await stage.browser.newContext()
    tab = await context.newPage()
  })

  afterEach(() => context.close())

  const texts = async (selector: string): Promise<string[]> =>
    (await tab.locator(selector).allTextContents()).map((text) => text.trim())

  test('an address that leads nowhere stays in its field, and the answer is announced', async () => {
    await PAGES['login-unknown-domain'](tab, stage)
    expect(await emailField(tab).inputValue()).toBe('sam@nowhere.test')
    expect(await isFocused(emailField(tab))).toBe(true)
    expect(await emailField(tab).getAttribute('aria-invalid')).toBe('true')
    const announced = tab.getByRole('alert')
    expect(await announced.getAttribute('id')).toBe(await emailField(tab).getAttribute('aria-describedby'))
    expect(await announced.textContent()).toContain('Check the spelling')
    await identify(tab, alice.email)
    await pick(tab, alice)
    expect(await arrive(tab, stage.harbour)).toContain(alice.email)
  })

  test('what is not an address is held back by the browser itself', async () => {
    const { visits } = record(context)
    await openLogin(tab, stage.harbour)
    await identify(tab, 'not an address')
    expect(await tab.locator('input:invalid').count()).toBe(1)
    expect((await visits()).filter(({ method }) => method === 'POST')).toEqual([])
  })

  test('somebody deactivated is told what, whose move it is, what to do and what to quote', async () => {
    await PAGES['error-deactivated'](tab, stage)
    expect(await texts('h1')).toEqual(['You cannot sign in here'])
    expect(await texts('.lead')).toEqual(['Your account here has been deactivated.'])
    expect(await texts('h2')).toEqual(['Who can fix it', 'What to do'])
    expect(await texts('p.quiet')).toEqual(['You were signing in to Harbour.'])
    expect(await texts('code')).toEqual([expect.stringMatching(REFERENCE)])
    await tab.locator('code').click()
    expect(await tab.evaluate<string>('getSelection().toString()')).toMatch(REFERENCE)
    expect((await context.cookies()).map(({ name }) => name)).not.toContain('portico_session')
  })

  test('“Start again” leads back in, by keyboard, as somebody else', async () => {
    await PAGES['error-deactivated'](tab, stage)
    const again = tab.getByRole('link', { name: 'Start again', exact: true })
    await tabTo(tab, again)
    await tab.keyboard.press('Enter')
    await emailField(tab).waitFor()
    expect(await isFocused(emailField(tab))).toBe(true)
    await tab.keyboard.type(alice.email)
    await tab.keyboard.press('Enter')
    await pick(tab, alice)
    expect(await arrive(tab, stage.harbour)).toContain(alice.email)
  })

  test('reload and the back button on the error page post nothing again', async () => {
    await PAGES['error-deactivated'](tab, stage)
    const [reference] = await texts('code')
    const { visits } = record(context)
    await tab.reload()
    expect(await texts('code')).toEqual([reference])
    await tab.goBack()
    expect(tab.url()).not.toContain('/login/error/')
    await tab.goForward()
    expect(await texts('code')).toEqual([reference])
    const seen = await visits()
    expect(seen.map(({ url }) => new URL(url).pathname)).toContain(`/login/error/${reference}`)
    const posted = seen.filter(({ method, url }) => method === 'POST' && url.startsWith(stage.broker.baseUrl))
    expect(posted).toEqual([])
  })

  test('a company’s IdP that does not answer is named as such, and the person can start again', async () => {
    const gone = await startOidcIdp({ people: [] })
    await oidcCompany(stage.broker, gone, { domain: 'gone.test' })
    await gone.close()
    await openLogin(tab, stage.harbour)
    await identify(tab, 'gus@gone.test')
    await tab.waitForURL('**/login/error/*')
    expect(await texts('h1')).toEqual(['Your company’s sign-in does not answer'])
    expect(await texts('code')).toEqual([expect.stringMatching(REFERENCE)])
    await tab.getByRole('link', { name: 'Start again', exact: true }).click()
    await identify(tab, alice.email)
    await pick(tab, alice)
    expect(await arrive(tab, stage.harbour)).toContain(alice.email)
  })

  test('the same page, opened in another browser, offers that browser nothing to take up', async () => {
    await PAGES['error-deactivated'](tab, stage)
    const elsewhere = await stage.browser.newContext()
    const other = await elsewhere.newPage()
    await other.goto(tab.url())
    expect(await other.textContent('h1')).toBe('You cannot sign in here')
    expect(await other.getByRole('link').count()).toBe(0)
    expect(await other.textContent('main')).toContain('Go back to the app you came from')
    expect(await tab.getByRole('link', { name: 'Start again' }).count()).toBe(1)
    await elsewhere.close()
  })

  test('a sign-in that this browser never began starts over at the app', async () => {
    await PAGES['error-expired'](tab, stage)
    expect(await texts('h1')).toEqual(['Let’s start over'])
    expect(await texts('code')).toEqual([expect.stringMatching(REFERENCE)])
    expect(await tab.textContent('main')).toContain('Go back to the app you came from')
  })

  test('a page left by its own back button can be sent again, once the person knows better', async () => {
    await openLogin(tab, stage.harbour)
    await identify(tab, dora.email)
    await tab.getByRole('button', { name: dora.displayName }).waitFor()
    await tab.goBack()
    await identify(tab, alice.email)
    await pick(tab, alice)
    expect(await arrive(tab, stage.harbour)).toContain(alice.email)
  })

  test('signing out is asked for, and ends the session for every app', async () => {
    await openLogin(tab, stage.harbour)
    await identify(tab, alice.email)
    await pick(tab, alice)
    await arrive(tab, stage.harbour)
    const sessions = async () => (await context.cookies()).filter(({ name }) => name === 'portico_session')
    await PAGES['sign-out'](tab, stage)
    expect(await sessions()).toHaveLength(1)
    await button(tab, 'Sign out').click()
    await tab.getByRole('heading', { name: 'You are signed out' }).waitFor()
    expect(await sessions()).toEqual([])
    await openLogin(tab, stage.atlas)
  })
})
