import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SAML } from '@node-saml/node-saml'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startDemoApp } from '../../src/demo/app.ts'
import { startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { expectAccessible, launchBrowser } from '../support/browser.ts'
import { people } from './people.ts'
import { standInClient, startStandInBroker } from './stand-in-broker.ts'

const closing: (() => unknown)[] = []
let browser: Browser
let acsUrl: string

beforeAll(async () => {
  browser = await launchBrowser()
  closing.push(() => browser.close())
  const acs = createServer((request, response) => response.end(`${request.method} arrived`))
  await new Promise<void>((resolve) => acs.listen(0, '127.0.0.1', resolve))
  closing.push(
    () => acs.close(),
    () => acs.closeAllConnections(),
  )
  acsUrl = `http://localhost:${(acs.address() as AddressInfo).port}/acs`
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const openTab = async (options: BrowserContextOptions = {}) => {
  const context = await browser.newContext(options)
  closing.push(() => context.close())
  const tab = await context.newPage()
  const complaints: string[] = []
  tab.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  return { tab, complaints }
}

const samlLogin = async (): Promise<string> => {
  const idp = await startSamlIdp({ people })
  closing.push(idp.close)
  idp.setServiceProvider({ entityId: 'https://broker.portico.test', acsUrl })
  const sp = new SAML({
    entryPoint: `${idp.url}/sso`,
    issuer: 'https://broker.portico.test',
    callbackUrl: acsUrl,
    idpCert: 'unused',
  })
  return sp.getAuthorizeUrlAsync('flow-1', undefined, {})
}

test('the SAML IdP’s page is accessible, works by keyboard, and hands over by itself', async () => {
  const { tab, complaints } = await openTab()
  await tab.goto(await samlLogin())
  await expectAccessible(tab)
  await tab.getByLabel('Or type an address').focus()
  await tab.keyboard.type('bob@acme.test')
  await tab.keyboard.press('Enter')
  await tab.waitForURL(acsUrl)
  expect(await tab.textContent('body')).toBe('POST arrived')
  expect(complaints).toEqual([])
})

test('without JavaScript a button hands over', async () => {
  const { tab } = await openTab({ javaScriptEnabled: false })
  await tab.goto(await samlLogin())
  await tab.getByRole('button', { name: 'Ada' }).click()
  await tab.getByRole('button', { name: 'Continue' }).click()
  await tab.waitForURL(acsUrl)
  expect(await tab.textContent('body')).toBe('POST arrived')
})

test('the OIDC IdP’s page is accessible and works in a browser', async () => {
  const idp = await startOidcIdp({ people })
  closing.push(idp.close)
  idp.register({ clientId: 'broker', clientSecret: 'secret', redirectUri: acsUrl })
  const { tab, complaints } = await openTab()
  const query = new URLSearchParams({
    client_id: 'broker',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: acsUrl,
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  await tab.goto(`${idp.issuer}/auth?${query}`)
  await expectAccessible(tab)
  await tab.getByRole('button', { name: 'Bob' }).click()
  await tab.waitForURL(`${acsUrl}?code=*`)
  expect(complaints).toEqual([])
})

test('the demo app is accessible, signed out and signed in', async () => {
  const broker = await startStandInBroker()
  const app = await startDemoApp({ client: standInClient(broker) })
  closing.push(broker.close, app.close)
  const { tab, complaints } = await openTab()
  await tab.goto(app.url)
  await expectAccessible(tab)
  await tab.getByRole('button', { name: 'Sign in' }).click()
  await tab.getByRole('heading', { name: 'You are signed in' }).waitFor()
  await expectAccessible(tab)
  await tab.getByRole('button', { name: 'Refresh the token' }).click()
  await tab.getByRole('button', { name: 'Sign out' }).click()
  await tab.waitForURL(`${broker.issuer}/oauth2/logout?*`)
  expect(complaints).toEqual([])
})
