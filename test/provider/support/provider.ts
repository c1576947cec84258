import { createHash, randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../../../src/core/clock.ts'
import { toId } from '../../../src/core/ids.ts'
import type { Database } from '../../../src/db/pool.ts'
import type { Person } from '../../../src/demo/peers.ts'
import { type SamlIdp, startSamlIdp } from '../../../src/demo/saml-idp.ts'
import type { Page, UserAgent } from '../../../src/demo/user-agent.ts'
import { startBroker, type TestBroker } from '../../support/broker.ts'
import { type Company, samlCompany, someone } from '../../support/scenario.ts'

export type RegisteredClient = {
  id: string
  clientId: string
  clientSecret: string
  redirectUri: string
  audience: string
}

export const alice = someone('Alice', 'acme.test')
export const bob = someone('Bob', 'acme.test')
export const greta = someone('Greta', 'globex.test')

export type Provider = {
  broker: TestBroker
  saml: SamlIdp
  acme: Company
  globex: Company
  client: RegisteredClient
  close: () => Promise<void>
}

/** Nothing listens there: the tests read the redirect instead of following it. */
export const REDIRECT_URI = 'https://app.test/callback?from=portico'
export const AFTER_LOGOUT = 'https://app.test/bye'

export const registerClient = async (
  broker: TestBroker,
  options: { redirectUris?: string[]; orgId?: string } = {},
): Promise<RegisteredClient> => {
  const { redirectUris = [REDIRECT_URI], ...rest } = options
  const { client, clientSecret } = await broker.services.clients.create(broker.ctx, {
    name: 'An app',
    redirectUris,
    postLogoutRedirectUris: [AFTER_LOGOUT],
    ...rest,
  })
  return {
    id: client.id,
    clientId: toId('cli', client.id),
    clientSecret,
    redirectUri: redirectUris[0] as string,
    audience: client.audience,
  }
}

/** A broker with two organisations that trust one SAML IdP, and a platform app. */
export const startProvider = async (
  db: Database,
  options: { clock?: Clock; logger?: Logger } = {},
): Promise<Provider> => {
  const broker = await startBroker({ db, ...options })
  const saml = await startSamlIdp({ people: [alice, bob, greta] })
  const acme = await samlCompany(broker, saml, { domain: 'acme.test' })
  const globex = await samlCompany(broker, saml, { domain: 'globex.test' })
  const client = await registerClient(broker)
  const close = async () => {
    await Promise.all([broker.close(), saml.close()])
  }
  return { broker, saml, acme, globex, client, close }
}

export type Asked = { parameters: Record<string, string>; verifier: string; url: string }

/** An honest authorization request, changed; `undefined` leaves a parameter out. */
export const ask = (
  { broker, client }: Pick<Provider, 'broker' | 'client'>,
  changes: Record<string, string | undefined> = {},
): Asked => {
  const verifier = randomBytes(32).toString('base64url')
  const all = {
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    scope: 'openid profile email offline_access',
    state: 'a state & more',
    nonce: 'a nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...changes,
  }
  const parameters = Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  const url = `${broker.baseUrl}/oauth2/authorize?${new URLSearchParams(parameters)}`
  return { parameters, verifier, url }
}

/** Where a page redirects to; fails where it does not. */
export const redirectOf = (page: Pick<Page, 'headers' | 'status'>): URL => {
  const { location } = page.headers
  if (page.status !== 303 || typeof location !== 'string') throw new Error(`no redirect: ${page.status}`)
  return new URL(location)
}

export const stayingHere = ({ broker, saml }: Pick<Provider, 'broker' | 'saml'>) => ({
  follow: (next: URL) => next.origin === broker.baseUrl || next.origin === saml.url,
})

/** From the identifier page on: address, person, and back to where the app is answered. */
export const signInFrom = async (
  provider: Provider,
  agent: UserAgent,
  page: Page,
  person: Person,
): Promise<URL> => {
  const here = stayingHere(provider)
  const idp = page.forms().some((form) => 'email' in form.fields)
    ? await agent.submit(page.form('email'), { email: person.email }, here)
    : page
  const back = await agent.submit(idp.form('person'), { person: person.id }, here)
  return redirectOf(await agent.submit(back.form('SAMLResponse'), {}, here))
}

/** The whole sign-in; returns the answer to the app. */
export const signIn = async (
  provider: Provider,
  agent: UserAgent,
  person: Person,
  changes: Record<string, string | undefined> = {},
): Promise<{ answer: URL; code: string; asked: Asked }> => {
  const asked = ask(provider, changes)
  const answer = await signInFrom(provider, agent, await agent.get(asked.url, stayingHere(provider)), person)
  return { answer, code: answer.searchParams.get('code') ?? '', asked }
}

export type TokenAnswer = {
  status: number
  body: Record<string, string> & { reference?: string }
  headers: Headers
}

export const tokenRequest = async (
  { baseUrl }: TestBroker,
  form: Record<string, string> | string,
  headers: Record<string, string> = {},
): Promise<TokenAnswer> => {
  const response = await fetch(`${baseUrl}/oauth2/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  })
  return { status: response.status, body: await response.json(), headers: response.headers }
}

export const credentials = ({ clientId, clientSecret }: RegisteredClient) => ({
  client_id: clientId,
  client_secret: clientSecret,
})

export const basic = ({ clientId, clientSecret }: RegisteredClient) => ({
  authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
})

export const redemption = (code: string, { verifier, parameters }: Asked) => ({
  grant_type: 'authorization_code',
  code,
  code_verifier: verifier,
  redirect_uri: parameters.redirect_uri ?? '',
})
