import type { OrgCtx } from '../../src/core/ctx.ts'
import { toId } from '../../src/core/ids.ts'
import { forOrg } from '../../src/db/transaction.ts'
import { type DemoApp, startDemoApp } from '../../src/demo/app.ts'
import type { OidcIdp } from '../../src/demo/oidc-idp.ts'
import type { Person } from '../../src/demo/peers.ts'
import type { SamlIdp } from '../../src/demo/saml-idp.ts'
import type { Page, UserAgent } from '../../src/demo/user-agent.ts'
import type { LinkRules } from '../../src/directory/linking.ts'
import type { TestBroker } from './broker.ts'

/** Somebody of a domain; the ID is stable and not the address. */
export const someone = (given: string, domain: string): Person => ({
  id: `00u-${given.toLowerCase()}-${domain}`,
  email: `${given.toLowerCase()}@${domain}`,
  displayName: `${given} Tester`,
  givenName: given,
  familyName: 'Tester',
  groups: [],
})

export type Company = {
  ctx: OrgCtx
  orgId: string
  /** `con_…` and its UUID. */
  connection: { id: string; uuid: string; acsUrl: string | undefined }
  domain: string
}

type CompanyOptions = { domain: string; rules?: Partial<LinkRules> }

const organisationWithDomain = async (broker: TestBroker, domain: string): Promise<OrgCtx> => {
  const { organisations } = broker.services
  const { id } = await organisations.create(broker.ctx, { name: domain })
  const ctx = forOrg(broker.ctx, id)
  await organisations.addDomain(ctx, { name: domain, verified: true })
  return ctx
}

/** An organisation with a verified domain and an enabled SAML connection to `idp`. */
export const samlCompany = async (
  broker: TestBroker,
  idp: SamlIdp,
  { domain, rules = {} }: CompanyOptions,
): Promise<Company> => {
  const { connections, organisations } = broker.services
  const ctx = await organisationWithDomain(broker, domain)
  const draft = await connections.create(ctx, { type: 'saml', name: domain, rules })
  const { acsUrl, entityId } = draft.urls as { acsUrl: string; entityId: string }
  idp.setServiceProvider({ acsUrl, entityId })
  await connections.importMetadata(ctx, draft.id, idp.metadataXml)
  await connections.enable(ctx, draft.id)
  await organisations.assignDomain(ctx, domain, draft.id)
  return {
    ctx,
    orgId: toId('org', ctx.orgId),
    domain,
    connection: { id: toId('con', draft.id), uuid: draft.id, acsUrl },
  }
}

/** An organisation with a verified domain and an enabled OIDC connection to `idp`. */
export const oidcCompany = async (
  broker: TestBroker,
  idp: OidcIdp,
  { domain, rules = {} }: CompanyOptions,
): Promise<Company> => {
  const { connections, organisations } = broker.services
  const ctx = await organisationWithDomain(broker, domain)
  const client = { clientId: `portico-${domain}`, clientSecret: 'only-for-this-test-run' }
  const made = await connections.create(ctx, {
    type: 'oidc',
    name: domain,
    rules,
    config: { issuer: idp.issuer, clientId: client.clientId },
    secrets: { clientSecret: client.clientSecret },
  })
  idp.register({ ...client, redirectUri: made.urls.redirectUri as string })
  await connections.enable(ctx, made.id)
  await organisations.assignDomain(ctx, domain, made.id)
  return {
    ctx,
    orgId: toId('org', ctx.orgId),
    domain,
    connection: { id: toId('con', made.id), uuid: made.id, acsUrl: undefined },
  }
}

/** A platform app, registered at the broker. */
export const registeredApp = async (
  broker: TestBroker,
): Promise<DemoApp & { clientId: string; clientSecret: string }> => {
  const app = await startDemoApp()
  const { client, clientSecret } = await broker.services.clients.create(broker.ctx, {
    name: 'Test app',
    redirectUris: [app.redirectUri],
    postLogoutRedirectUris: [`${app.url}/`],
    audience: app.url,
  })
  const clientId = toId('cli', client.id)
  app.setClient({ issuer: broker.baseUrl, clientId, clientSecret, audience: client.audience })
  return { ...app, clientId, clientSecret }
}

/** Types the address at the broker and picks the person at the IdP; returns the page just before the callback. */
export const upToCallback = async (
  agent: UserAgent,
  app: DemoApp,
  email: string,
  person: Person,
): Promise<Page> => {
  const identifier = await agent.get(`${app.url}/sign-in`)
  const idp = await agent.submit(identifier.form('email'), { email })
  return agent.submit(
    idp.form('person'),
    { person: person.id },
    { follow: (next) => !next.pathname.startsWith('/oidc/') },
  )
}

/** The whole sign-in, through either kind of IdP; returns where the browser ends up. */
export const signIn = async (
  agent: UserAgent,
  app: DemoApp,
  email: string,
  person: Person,
): Promise<Page> => {
  const page = await upToCallback(agent, app, email, person)
  const saml = page.forms().find((form) => 'SAMLResponse' in form.fields)
  if (saml) return agent.submit(saml)
  const next = page.headers.location
  return typeof next === 'string' ? agent.get(next) : page
}

export const whoAmI = async (agent: UserAgent, app: DemoApp): Promise<Record<string, unknown>> =>
  (await agent.get(`${app.url}/me.json`, { headers: { accept: 'application/json' } })).json() as Record<
    string,
    unknown
  >
