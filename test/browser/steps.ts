import type { Locator, Page } from 'playwright-core'
import type { DemoApp } from '../../src/demo/app.ts'
import type { Person } from '../../src/demo/peers.ts'
import { dora, type Stage } from './stage.ts'

/** Presses Tab until the element has the focus, as somebody without a mouse does. */
export const tabTo = async (tab: Page, target: Locator): Promise<void> => {
  for (let presses = 0; presses < 30; presses += 1) {
    if (await isFocused(target)) return
    await tab.keyboard.press('Tab')
  }
  throw new Error(`the keyboard does not reach ${target} on ${tab.url()}`)
}

export const isFocused = async (target: Locator): Promise<boolean> =>
  target.evaluate((element) => element.matches(':focus'))

export const emailField = (tab: Page): Locator => tab.getByLabel('Work email')

export const button = (tab: Page, name: string): Locator => tab.getByRole('button', { name, exact: true })

/** Opens the app's sign-in and waits for the broker's page. */
export const openLogin = async (tab: Page, app: DemoApp): Promise<void> => {
  await tab.goto(`${app.url}/sign-in`)
  await emailField(tab).waitFor()
}

/** Gives the address to the broker; the browser is at the IdP, or told why not. */
export const identify = async (tab: Page, email: string): Promise<void> => {
  await emailField(tab).fill(email)
  await button(tab, 'Continue').click()
}

/** Says at the IdP who one is. Where scripts are off, the SAML IdP asks for one more press. */
export const pick = async (tab: Page, person: Person): Promise<void> => {
  await tab.getByRole('button', { name: person.displayName }).click()
}

/** Waits until the app shows who is signed in, and returns what it shows. */
export const arrive = async (tab: Page, app: DemoApp): Promise<string> => {
  await tab.waitForURL(`${app.url}/`)
  return (await tab.locator('main').textContent()) ?? ''
}

/** The pages people meet, each with the way there. */
export const PAGES = {
  login: (tab: Page, { harbour }: Stage) => openLogin(tab, harbour),
  'login-unknown-domain': async (tab: Page, { harbour }: Stage) => {
    await openLogin(tab, harbour)
    await identify(tab, 'sam@nowhere.test')
    await tab.getByRole('alert').waitFor()
  },
  'error-deactivated': async (tab: Page, { harbour }: Stage) => {
    await openLogin(tab, harbour)
    await identify(tab, dora.email)
    await pick(tab, dora)
    await tab.waitForURL('**/login/error/*')
  },
  'error-expired': async (tab: Page, { broker }: Stage) => {
    await tab.goto(`${broker.baseUrl}/login?request=of-another-browser`)
  },
  'sign-out': async (tab: Page, { broker }: Stage) => {
    await tab.goto(`${broker.baseUrl}/oauth2/logout`)
  },
  'signed-out': async (tab: Page, { broker }: Stage) => {
    await tab.goto(`${broker.baseUrl}/oauth2/logout`)
    await button(tab, 'Sign out').click()
    await tab.getByRole('heading', { name: 'You are signed out' }).waitFor()
  },
} as const satisfies Record<string, (tab: Page, stage: Stage) => Promise<void>>
