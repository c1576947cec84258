import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inTx } from '../../src/db/transaction.ts'
import type { DemoApp } from '../../src/demo/app.ts'
import { type OidcIdp, startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { type SamlIdp, startSamlIdp } from '../../src/demo/saml-idp.ts'
import { createUserAgent } from '../../src/demo/user-agent.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import {
  type Company,
  oidcCompany,
  registeredApp,
  samlCompany,
  signIn,
  someone,
  upToCallback,
  whoAmI,
} from '../support/scenario.ts'

const alice = someone('Alice', 'acme.test')
const bob = someone('Bob', 'labs.test')
const mallory = someone('Mallory', 'mallory.test')

describe('the sign-in journey', () => {
  const db = testDatabase()
  let broker: TestBroker
  let saml: SamlIdp
  let oidc: OidcIdp
  let app: DemoApp
  let acme: Company
  let labs: Company
  let other: Company

  beforeAll(async () => {
    broker = await startBroker({ db: db.app })
    saml = await startSamlIdp({ people: [alice, bob, mallory] })
    oidc = await startOidcIdp({ people: [alice, bob, mallory] })
    app = await registeredApp(broker)
    acme = await samlCompany(broker, saml, { domain: 'acme.test' })
    labs = await oidcCompany(broker, oidc, { domain: 'labs.test' })
    other = await samlCompany(broker, saml, { domain: 'mallory.test' })
  })

  afterAll(async () => {
    await Promise.all([broker.close(), saml.close(), oidc.close(), app.close()])
  })

  const events = (company: Company) =>
    inTx(company.ctx, (tx) => broker.services.audit.list(tx, { limit: 1000 }))

  test.each([
    ['SAML', alice, () => acme],
    ['OIDC', bob, () => labs],
  ] as const)('an employee signs in through %s and the app trusts the token', async (_, person, company) => {
    const agent = createUserAgent()
    await signIn(agent, app, person.email, person)
    expect(await whoAmI(agent, app)).toMatchObject({
      signedIn: true,
      email: person.email,
      orgId: company().orgId,
      roles: ['member'],
    })
    expect((await events(company())).map((event) => event.action)).toContain('login.succeeded')
    await agent.close()
  })

  test('a second app needs no second sign-in, and another browser does', async () => {
    const agent = createUserAgent()
    await signIn(agent, app, alice.email, alice)
    const second = await registeredApp(broker)
    await agent.get(`${second.url}/sign-in`)
    expect(await whoAmI(agent, second)).toMatchObject({ signedIn: true, email: alice.email })
    const stranger = createUserAgent()
    expect((await stranger.get(`${second.url}/sign-in`)).url).toContain(`${broker.baseUrl}/login?`)
    await Promise.all([agent.close(), stranger.close(), second.close()])
  })

  test('a response posted sixteen times at once logs in once', async () => {
    const agent = createUserAgent()
    const page = await upToCallback(agent, app, alice.email, alice)
    const form = page.form('SAMLResponse')
    const stayHere = (next: URL) => next.origin === broker.baseUrl
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => agent.submit(form, {}, { follow: stayHere })),
    )
    const signedIn = answers.filter((answer) =>
      String(answer.headers.location ?? '').startsWith(app.redirectUri),
    )
    expect(signedIn).toHaveLength(1)
    for (const refused of answers.filter((answer) => !signedIn.includes(answer))) {
      expect(refused.status).toBe(403)
      expect(refused.text).toContain('This sign-in has been used already.')
    }
    const refusals = (await events(acme)).filter((event) => event.reason === 'replayed')
    expect(refusals.reduce((sum, event) => sum + event.occurrences, 0)).toBe(15)
    await agent.close()
  })

  test('a response carried to another browser is refused, and its own browser still gets in', async () => {
    const agent = createUserAgent()
    const victim = createUserAgent()
    const form = (await upToCallback(agent, app, alice.email, alice)).form('SAMLResponse')
    await victim.get(`${app.url}/sign-in`)
    const refused = await victim.submit(form)
    expect(refused.status).toBe(403)
    expect(refused.text).toContain('was not begun in this browser')
    await agent.submit(form)
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true })
    await Promise.all([agent.close(), victim.close()])
  })

  test('a response for one connection is refused at another, although both trust the same certificate', async () => {
    const agent = createUserAgent()
    const form = (await upToCallback(agent, app, alice.email, alice)).form('SAMLResponse')
    const refused = await agent.submit({ ...form, action: other.connection.acsUrl as string })
    expect(refused.status).toBe(403)
    await agent.submit(form)
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true })
    await agent.close()
  })

  test('an IdP cannot assert an address of another organisation', async () => {
    const agent = createUserAgent()
    const refused = await signIn(agent, app, mallory.email, alice)
    expect(refused.status).toBe(403)
    expect(refused.text).toContain('does not belong to a domain of your company')
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: false })
    await signIn(agent, app, mallory.email, mallory)
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true, orgId: other.orgId })
    await agent.close()
  })

  test('a connection that is disabled while its response is in flight admits nobody', async () => {
    const agent = createUserAgent()
    const form = (await upToCallback(agent, app, mallory.email, mallory)).form('SAMLResponse')
    await broker.services.connections.disable(other.ctx, other.connection.uuid)
    const refused = await agent.submit(form)
    expect(refused.status).toBe(403)
    expect(refused.text).toContain('switched off')
    await broker.services.connections.enable(other.ctx, other.connection.uuid)
    await signIn(agent, app, mallory.email, mallory)
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true })
    await agent.close()
  })

  test('a refused sign-in shows its reference, and starting again works', async () => {
    const agent = createUserAgent()
    const form = (await upToCallback(agent, app, alice.email, alice)).form('SAMLResponse')
    const broken = {
      ...form,
      fields: { ...form.fields, SAMLResponse: Buffer.from('<not-saml/>').toString('base64') },
    }
    const refused = await agent.submit(broken)
    const reference = /evt_[0-9a-z]{26}/.exec(refused.text)?.[0]
    expect(refused.url).toContain(`/login/error/${reference}`)
    const again = /href="(\/login\?request=[^"]+)"/.exec(refused.text)?.[1] as string
    const idp = await agent.submit((await agent.get(`${broker.baseUrl}${again}`)).form('email'), {
      email: alice.email,
    })
    await agent.submit((await agent.submit(idp.form('person'), { person: alice.id })).form('SAMLResponse'))
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true })
    await agent.close()
  })

  test('every domain that routes nowhere gets the same answer', async () => {
    await broker.services.organisations.addDomain(acme.ctx, {
      name: 'claimed-not-proved.test',
      verified: false,
    })
    const agent = createUserAgent()
    const texts: string[] = []
    for (const email of [
      'x@nowhere.test',
      'x@claimed-not-proved.test',
      'not-an-address',
      'a@b@acme.test',
      'x@\0acme.test',
    ]) {
      const page = await agent.get(`${app.url}/sign-in`)
      const answer = await agent.submit(page.form('email'), { email })
      expect(answer.status).toBe(400)
      texts.push(answer.text.replaceAll(/value="[^"]*"/g, ''))
    }
    expect(new Set(texts).size).toBe(1)
    await agent.close()
  })

  test('anonymous garbage at the ACS is counted into one row and leaves nothing else', async () => {
    const before = (await events(acme)).length
    const post = () =>
      fetch(acme.connection.acsUrl as string, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ SAMLResponse: 'x'.repeat(1000), RelayState: 'x'.repeat(43) }),
        redirect: 'manual',
      })
    const answers = await Promise.all(Array.from({ length: 40 }, post))
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([303]))
    // The minute may turn over once in between.
    expect((await events(acme)).length - before).toBeLessThanOrEqual(2)
  })

  test('a form without its own token or from another origin is refused', async () => {
    const agent = createUserAgent()
    const page = await agent.get(`${app.url}/sign-in`)
    const form = page.form('email')
    const stripped = await agent.postForm(form.action, { ...form.fields, csrf: '', email: alice.email })
    expect(stripped.status).toBe(403)
    const foreign = await agent.submit(
      form,
      { email: alice.email },
      { headers: { origin: 'https://evil.test' } },
    )
    expect(foreign.status).toBe(403)
    expect((await agent.submit(form, { email: alice.email })).url).toContain(saml.url)
    await agent.close()
  })
})
