import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { expectHandleToStay, expectNoSecretInAddresses, record } from './recording.ts'
import { alice, bob, openStage, type Stage } from './stage.ts'
import { arrive, button, emailField, identify, isFocused, openLogin, pick, tabTo } from './steps.ts'

describe('signing in with a real browser', () => {
  const db = testDatabase()
  let stage: Stage

  beforeAll(async () => {
    stage = await openStage(db)
  })

  afterAll(() => stage.close())

  /** A browser that was never here, for one test. */
  const inFreshBrowser = async (
    run: (context: BrowserContext) => Promise<void>,
    options: BrowserContextOptions = {},
  ): Promise<void> => {
    const context = await stage.browser.newContext(options)
    try {
      await run(context)
    } finally {
      await context.close()
    }
  }

  /** Holds the requests of that kind back until there are so many, as a burst of restored tabs makes them. */
  const letGoTogether = async (context: BrowserContext, address: string, many: number): Promise<void> => {
    const held: (() => void)[] = []
    await context.route(address, async (route) => {
      await new Promise<void>((resolve) => {
        held.push(resolve)
        if (held.length === many) for (const letGo of held) letGo()
      })
      await route.continue()
    })
  }

  const focusRing = (tab: Page): Promise<{ style: string; width: number }> =>
    tab.evaluate(
      '(({ outlineStyle, outlineWidth }) => ({ style: outlineStyle, width: parseFloat(outlineWidth) }))(getComputedStyle(document.activeElement))',
    )

  const expectFocusRing = async (tab: Page): Promise<void> => {
    const ring = await focusRing(tab)
    expect(ring.style).not.toBe('none')
    expect(ring.width).toBeGreaterThanOrEqual(2)
  }

  describe.each([
    ['SAML', alice],
    ['OIDC', bob],
  ] as const)('through %s', (_, person) => {
    test('works by keyboard alone, with the focus always in sight', () =>
      inFreshBrowser(async (context) => {
        const tab = await context.newPage()
        await tab.goto(stage.harbour.url)
        await tabTo(tab, button(tab, 'Sign in'))
        await tab.keyboard.press('Enter')

        await emailField(tab).waitFor()
        expect(await isFocused(emailField(tab))).toBe(true)
        await expectFocusRing(tab)
        await tab.keyboard.press('Tab')
        expect(await isFocused(button(tab, 'Continue'))).toBe(true)
        await expectFocusRing(tab)
        await tab.keyboard.press('Shift+Tab')
        await tab.keyboard.type(person.email)
        await tab.keyboard.press('Enter')

        const me = tab.getByRole('button', { name: person.displayName })
        await me.waitFor()
        await tabTo(tab, me)
        await tab.keyboard.press('Enter')
        expect(await arrive(tab, stage.harbour)).toContain(person.email)
      }))

    test('works without JavaScript', () =>
      inFreshBrowser(
        async (context) => {
          const tab = await context.newPage()
          await openLogin(tab, stage.harbour)
          await identify(tab, person.email)
          await pick(tab, person)
          // The IdP's page would submit itself; that it stands still shows that scripts are off.
          if (person === alice) await button(tab, 'Continue').click()
          expect(await arrive(tab, stage.harbour)).toContain(person.email)
        },
        { javaScriptEnabled: false },
      ))

    test('leaves no secret in an address, and tells no other site where the person was', () =>
      inFreshBrowser(async (context) => {
        const { visits } = record(context)
        const tab = await context.newPage()
        await openLogin(tab, stage.harbour)
        await identify(tab, person.email)
        await pick(tab, person)
        await arrive(tab, stage.harbour)

        const tokens = Object.values(stage.harbour.lastTokens() ?? {}).filter((token) => token !== undefined)
        expect(tokens).toHaveLength(3)
        const cookies = (await context.cookies()).filter(({ name }) => name.startsWith('portico_'))
        expect(cookies.map(({ name }) => name).sort()).toEqual(['portico_browser', 'portico_session'])
        const seen = await visits()
        expectNoSecretInAddresses(seen, [...tokens, ...cookies.map(({ value }) => value)])
        expectHandleToStay(seen, stage.broker.baseUrl)
        const carryingCode = seen.filter(({ url }) => new URL(url).searchParams.has('code'))
        const atBroker = carryingCode.filter(({ url }) => url.startsWith(`${stage.broker.baseUrl}/oidc/con_`))
        const atApp = carryingCode.filter(({ url }) => url.startsWith(`${stage.harbour.redirectUri}?`))
        expect(atApp).toHaveLength(1)
        expect(carryingCode).toEqual([...atBroker, ...atApp])
      }))
  })

  test('two tabs begun in turns both finish, the later one first', () =>
    inFreshBrowser(async (context) => {
      const [first, second] = [await context.newPage(), await context.newPage()]
      await openLogin(first, stage.harbour)
      await openLogin(second, stage.harbour)
      await identify(first, alice.email)
      await identify(second, alice.email)
      await pick(second, alice)
      expect(await arrive(second, stage.harbour)).toContain(alice.email)
      await pick(first, alice)
      expect(await arrive(first, stage.harbour)).toContain(alice.email)
    }))

  test('two tabs for two apps and two companies do not mix anything up', () =>
    inFreshBrowser(async (context) => {
      const [first, second] = [await context.newPage(), await context.newPage()]
      await openLogin(first, stage.harbour)
      await openLogin(second, stage.atlas)
      expect(await first.textContent('h1')).toBe('Sign in to Harbour')
      expect(await second.textContent('h1')).toBe('Sign in to Atlas Planning')
      await identify(second, bob.email)
      await identify(first, alice.email)
      await pick(first, alice)
      expect(await arrive(first, stage.harbour)).toContain(alice.email)
      await pick(second, bob)
      expect(await arrive(second, stage.atlas)).toContain(bob.email)
      await first.reload()
      expect(await arrive(first, stage.harbour)).toContain(alice.email)
    }))

  test('tabs that a browser restores all at once after a restart all finish', () =>
    inFreshBrowser(async (context) => {
      const tabs = [
        { app: stage.harbour, tab: await context.newPage() },
        { app: stage.atlas, tab: await context.newPage() },
      ]
      for (const { app, tab } of tabs) await openLogin(tab, app)
      // Of the broker's cookies a restart leaves the lasting ones; what the apps keep is theirs.
      const kept = (await context.cookies()).filter(
        ({ name, expires }) => expires > 0 || !name.startsWith('portico_'),
      )
      await context.clearCookies()
      await context.addCookies(kept)
      await letGoTogether(context, '**/login?request=*', tabs.length)
      await Promise.all(tabs.map(({ tab }) => tab.reload()))
      await Promise.all(tabs.map(({ tab }) => identify(tab, alice.email)))
      for (const { app, tab } of tabs) {
        await pick(tab, alice)
        expect(await arrive(tab, app)).toContain(alice.email)
      }
    }))

  test('a second app asks nobody to sign in twice', () =>
    inFreshBrowser(async (context) => {
      const tab = await context.newPage()
      await openLogin(tab, stage.harbour)
      await identify(tab, alice.email)
      await pick(tab, alice)
      await arrive(tab, stage.harbour)
      await tab.goto(`${stage.atlas.url}/sign-in`)
      expect(await arrive(tab, stage.atlas)).toContain(alice.email)
    }))
})
