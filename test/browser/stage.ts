import type { Browser } from 'playwright-core'
import { fromId, toId } from '../../src/core/ids.ts'
import { type DemoApp, startDemoApp } from '../../src/demo/app.ts'
import { startOidcIdp } from '../../src/demo/oidc-idp.ts'
import type { Person } from '../../src/demo/peers.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { createUserAgent } from '../../src/demo/user-agent.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { launchBrowser } from '../support/browser.ts'
import type { TestDatabase } from '../support/database.ts'
import { type Company, oidcCompany, samlCompany, signIn, someone, whoAmI } from '../support/scenario.ts'

/** Works at a company that signs in through SAML. */
export const alice = someone('Alice', 'acme.test')
/** Works at a company that signs in through OIDC. */
export const bob = someone('Bob', 'labs.test')
/** Has left the first company: its IdP knows her still, the broker has her deactivated. */
export const dora = someone('Dora', 'acme.test')

export const people: readonly Person[] = [alice, bob, dora]

/** Everything a browser meets, running. */
export type Stage = {
  broker: TestBroker
  /** Two apps of the platform. */
  harbour: DemoApp
  atlas: DemoApp
  browser: Browser
  close: () => Promise<void>
}

/** An app under its own name, so that a page can be seen to name the right one. */
export const namedApp = async (
  broker: TestBroker,
  name: string,
  at: { port?: number; baseUrl?: string } = {},
): Promise<DemoApp> => {
  const app = await startDemoApp({ name, ...at })
  const { client, clientSecret } = await broker.services.clients.create(broker.ctx, {
    name,
    redirectUris: [app.redirectUri],
    postLogoutRedirectUris: [`${app.url}/`],
    audience: app.url,
  })
  const clientId = toId('cli', client.id)
  app.setClient({ issuer: broker.baseUrl, clientId, clientSecret, audience: client.audience })
  return app
}

/** Lets somebody in once, so that the account exists, and then deactivates it. */
export const deactivate = async (
  broker: TestBroker,
  app: DemoApp,
  company: Company,
  person: Person,
): Promise<void> => {
  const agent = createUserAgent()
  await signIn(agent, app, person.email, person)
  const { sub } = await whoAmI(agent, app)
  await broker.services.users.setActive(company.ctx, fromId('usr', String(sub)), false)
  await agent.close()
}

/** Two companies, two apps and a Chromium around a broker that runs already. */
export const setStage = async (broker: TestBroker): Promise<Stage> => {
  const [saml, oidc, harbour, atlas, browser] = await Promise.all([
    startSamlIdp({ people }),
    startOidcIdp({ people }),
    namedApp(broker, 'Harbour'),
    namedApp(broker, 'Atlas Planning'),
    launchBrowser(),
  ])
  const acme = await samlCompany(broker, saml, { domain: 'acme.test' })
  await oidcCompany(broker, oidc, { domain: 'labs.test' })
  await deactivate(broker, harbour, acme, dora)
  const close = async () => {
    await browser.close()
    await Promise.all([saml.close(), oidc.close(), harbour.close(), atlas.close(), broker.close()])
  }
  return { broker, harbour, atlas, browser, close }
}

/** The stage of a test file, on its database. */
export const openStage = async (db: TestDatabase): Promise<Stage> =>
  setStage(await startBroker({ db: db.app }))
