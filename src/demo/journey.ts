/**
 * The scripted journey: the whole job of Portico, step by step over HTTP, each step checked. It plays the admin, the
 * IdP's SCIM client, the employee's browser and the app.
 */
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { fromId, toId } from '../core/ids.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Person } from './peers.ts'
import { createUserAgent, type Page, type UserAgent } from './user-agent.ts'
import { alice, bob, carol, type World } from './world.ts'

export type Step = { name: string; ok: boolean; ms: number; detail: string }

type Detail = string

class StepFailed extends Error {}

const demand = (holds: boolean, complaint: string): void => {
  if (!holds) throw new StepFailed(complaint)
}

/** What the steps hand on to one another. */
type Stage = {
  world: World
  browser: UserAgent
  ctx: Ctx
  acme: OrgCtx
  globex: OrgCtx
  samlConnection: string
  directory: { url: string; token: string }
  otherDirectory: { url: string; token: string }
  aliceId: string
}

const scim = async (
  directory: { url: string; token: string },
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> => {
  const response = await fetch(`${directory.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${directory.token}`, 'content-type': 'application/scim+json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}

const scimUser = (person: Person) => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
  userName: person.email,
  externalId: person.id,
  name: { givenName: person.givenName, familyName: person.familyName },
  displayName: person.displayName,
  emails: [{ value: person.email, type: 'work', primary: true }],
  active: true,
})

/** From the app's sign-in link to wherever the browser ends up, typing and clicking what a person would. */
const signIn = async (stage: Stage, email: string, person: Person): Promise<Page> => {
  const { browser, world } = stage
  const identifier = await browser.get(`${world.app.url}/sign-in`)
  const idp = await browser.submit(identifier.form('email'), { email })
  const picked = await browser.submit(idp.form('person'), { person: person.id })
  // SAML answers with a form for the ACS; OIDC with redirects that are followed already.
  const saml = picked.forms().find((form) => 'SAMLResponse' in form.fields)
  return saml ? browser.submit(saml) : picked
}

const me = async (stage: Stage): Promise<Record<string, unknown>> =>
  (
    await stage.browser.get(`${stage.world.app.url}/me.json`, { headers: { accept: 'application/json' } })
  ).json() as Record<string, unknown>

const demandSignedIn = async (stage: Stage, person: Person): Promise<Record<string, unknown>> => {
  const seen = await me(stage)
  demand(seen.signedIn === true, `the app says nobody is signed in: ${JSON.stringify(seen).slice(0, 200)}`)
  demand(seen.email === person.email, `the app sees ${seen.email} instead of ${person.email}`)
  return seen
}

const refresh = async (stage: Stage): Promise<{ ok: boolean; error?: string }> =>
  (
    await stage.browser.postForm(
      `${stage.world.app.url}/refresh`,
      {},
      { headers: { accept: 'application/json' } },
    )
  ).json() as { ok: boolean; error?: string }

const steps: readonly [name: string, run: (stage: Stage) => Promise<Detail>][] = [
  [
    'an organisation with a domain',
    async (stage) => {
      const { organisations } = stage.world.services
      const { id } = await organisations.create(stage.ctx, { name: 'Acme' })
      stage.acme = forOrg(stage.ctx, id)
      await organisations.addDomain(stage.acme, { name: 'acme.test', verified: true })
      await organisations.addDomain(stage.acme, { name: 'acme-labs.test', verified: true })
      return `${toId('org', id)}, acme.test and acme-labs.test`
    },
  ],
  [
    'a SAML connection from metadata',
    async (stage) => {
      const { connections, organisations, outbound } = stage.world.services
      const draft = await connections.create(stage.acme, { type: 'saml', name: 'Acme SAML' })
      const { acsUrl, entityId } = draft.urls as { acsUrl: string; entityId: string }
      stage.world.saml.setServiceProvider({ acsUrl, entityId })
      const xml = await (await outbound.fetch(stage.world.saml.metadataUrl)).text()
      await connections.importMetadata(stage.acme, draft.id, xml)
      await organisations.assignDomain(stage.acme, 'acme.test', draft.id)
      const enabled = await connections.enable(stage.acme, draft.id)
      stage.samlConnection = draft.id
      return `${toId('con', draft.id)} ${enabled.status}, entity ID ${entityId}`
    },
  ],
  [
    'an OIDC connection by discovery',
    async (stage) => {
      const { connections, organisations } = stage.world.services
      const client = { clientId: 'portico', clientSecret: 'a-secret-for-the-demo-only' }
      const made = await connections.create(stage.acme, {
        type: 'oidc',
        name: 'Acme Labs OIDC',
        config: { issuer: stage.world.oidc.issuer, clientId: client.clientId },
        secrets: { clientSecret: client.clientSecret },
      })
      stage.world.oidc.register({ ...client, redirectUri: made.urls.redirectUri as string })
      await (await connections.open(stage.acme, made.id)).opened.test()
      await organisations.assignDomain(stage.acme, 'acme-labs.test', made.id)
      const enabled = await connections.enable(stage.acme, made.id)
      return `${toId('con', made.id)} ${enabled.status}, issuer ${stage.world.oidc.issuer}`
    },
  ],
  [
    'a directory paired with the SAML connection, and an app',
    async (stage) => {
      const { directories, clients } = stage.world.services
      const made = await directories.create(stage.acme, {
        profile: 'okta',
        connectionId: stage.samlConnection,
      })
      stage.directory = { url: `${stage.world.baseUrl}/scim/v2/${toId('dir', made.id)}`, token: made.token }
      const { client, clientSecret } = await clients.create(stage.ctx, {
        name: 'Demo app',
        redirectUris: [stage.world.app.redirectUri],
        postLogoutRedirectUris: [`${stage.world.app.url}/`],
        audience: stage.world.app.url,
      })
      stage.world.app.setClient({
        issuer: stage.world.baseUrl,
        clientId: toId('cli', client.id),
        clientSecret,
        audience: client.audience,
      })
      return stage.directory.url
    },
  ],
  [
    'SCIM creates the user',
    async (stage) => {
      const created = await scim(stage.directory, 'POST', '/Users', scimUser(alice))
      demand(created.status === 201, `SCIM answered ${created.status}`)
      stage.aliceId = String(created.body.id)
      return `${stage.aliceId} ${alice.email}`
    },
  ],
  [
    'login through SAML, code exchanged, token verified',
    async (stage) => {
      await signIn(stage, alice.email, alice)
      const seen = await demandSignedIn(stage, alice)
      demand(seen.sub === stage.aliceId, 'the token names another user than SCIM created')
      return `${seen.sub}, session ${seen.sessionId}, roles ${JSON.stringify(seen.roles)}`
    },
  ],
  [
    'refresh',
    async (stage) => {
      const before = stage.world.app.lastTokens()?.refreshToken
      const answer = await refresh(stage)
      demand(answer.ok, `refused: ${answer.error}`)
      demand(stage.world.app.lastTokens()?.refreshToken !== before, 'the refresh token did not rotate')
      await demandSignedIn(stage, alice)
      return 'rotated, still signed in'
    },
  ],
  [
    'login through OIDC, created just in time',
    async (stage) => {
      const other: Stage = { ...stage, browser: createUserAgent() }
      await signIn(other, bob.email, bob)
      const seen = await demandSignedIn(other, bob)
      await other.browser.close()
      return `${seen.sub}, organisation ${seen.orgId}`
    },
  ],
  [
    'a second organisation sees nothing of the first',
    async (stage) => {
      const { organisations, directories } = stage.world.services
      const { id } = await organisations.create(stage.ctx, { name: 'Globex' })
      stage.globex = forOrg(stage.ctx, id)
      await organisations.addDomain(stage.globex, { name: 'globex.test', verified: true })
      const made = await directories.create(stage.globex, { profile: 'generic' })
      stage.otherDirectory = {
        url: `${stage.world.baseUrl}/scim/v2/${toId('dir', made.id)}`,
        token: made.token,
      }
      const listed = await scim(stage.otherDirectory, 'GET', '/Users')
      demand(listed.body.totalResults === 0, `it lists ${listed.body.totalResults} users`)
      const fetched = await scim(stage.otherDirectory, 'GET', `/Users/${stage.aliceId}`)
      demand(fetched.status === 404, `the user of the first answers ${fetched.status}`)
      const trespass = await scim({ ...stage.directory, token: stage.otherDirectory.token }, 'GET', '/Users')
      demand(
        [401, 404].includes(trespass.status),
        `its token opens the first's directory: ${trespass.status}`,
      )
      return 'list empty, user 404, foreign directory refused'
    },
  ],
  [
    'the second organisation’s IdP cannot assert a user of the first',
    async (stage) => {
      const { connections } = stage.world.services
      const draft = await connections.create(stage.globex, { type: 'saml', name: 'Globex SAML' })
      const { acsUrl, entityId } = draft.urls as { acsUrl: string; entityId: string }
      stage.world.saml.setServiceProvider({ acsUrl, entityId })
      await connections.importMetadata(stage.globex, draft.id, stage.world.saml.metadataXml)
      await connections.enable(stage.globex, draft.id)
      const other: Stage = { ...stage, browser: createUserAgent() }
      const refused = await signIn(other, carol.email, alice)
      demand(refused.status === 403, `answered ${refused.status} instead of 403`)
      await signIn(other, carol.email, carol)
      const seen = await demandSignedIn(other, carol)
      await other.browser.close()
      demand(seen.orgId === toId('org', stage.globex.orgId), 'the token names another organisation')
      return `refused; its own user signs in to ${seen.orgId}`
    },
  ],
  [
    'SCIM active:false',
    async (stage) => {
      const patched = await scim(stage.directory, 'PATCH', `/Users/${stage.aliceId}`, {
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', value: { active: false } }],
      })
      demand(patched.status === 200 || patched.status === 204, `SCIM answered ${patched.status}`)
      return `answered ${patched.status}`
    },
  ],
  [
    'refresh is refused and the session is gone',
    async (stage) => {
      const answer = await refresh(stage)
      demand(!answer.ok && answer.error === 'invalid_grant', `the refresh answered ${JSON.stringify(answer)}`)
      const live = await inTx(stage.acme, (tx) =>
        stage.world.services.sessions.listLive(tx, fromId('usr', stage.aliceId), new Date()),
      )
      demand(live.length === 0, `${live.length} sessions are still live`)
      return 'invalid_grant, no live session'
    },
  ],
  [
    'a new login is refused with a page that helps',
    async (stage) => {
      const page = await signIn(stage, alice.email, alice)
      demand(page.status === 403, `answered ${page.status} instead of 403`)
      const reference = /evt_[0-9a-z]{26}/.exec(page.text)?.[0]
      demand(page.text.includes('deactivated') && reference !== undefined, 'the page does not say why')
      return `“Your account here has been deactivated.” ${reference}`
    },
  ],
  [
    'the audit log shows each of it',
    async (stage) => {
      const events = await inTx(stage.acme, (tx) => stage.world.services.audit.list(tx, { limit: 1000 }))
      const seen = new Set(events.map((event) => event.action))
      const wanted = [
        'organisation.created',
        'domain.added',
        'connection.created',
        'connection.enabled',
        'directory.created',
        'user.created',
        'identity.linked',
        'login.succeeded',
        'token.issued',
        'user.deactivated',
        'login.refused',
      ]
      const missing = wanted.filter((action) => !seen.has(action))
      demand(missing.length === 0, `missing: ${missing.join(', ')}`)
      return `${events.length} events`
    },
  ],
]

/**
 * Runs the steps in order; the first that does not hold is the last.
 * @param report called after each step
 */
export const runJourney = async (
  world: World,
  report: (step: Step) => void,
): Promise<{ ok: boolean; steps: Step[] }> => {
  const browser = createUserAgent()
  const stage = { world, browser, ctx: world.ctx } as Stage
  const done: Step[] = []
  for (const [name, run] of steps) {
    const started = performance.now()
    const outcome = await run(stage).then(
      (detail) => ({ ok: true, detail }),
      (error: unknown) => ({ ok: false, detail: error instanceof Error ? error.message : String(error) }),
    )
    const step = { name, ms: Math.round(performance.now() - started), ...outcome }
    done.push(step)
    report(step)
    if (!step.ok) break
  }
  await browser.close()
  return { ok: done.length === steps.length && done.every((step) => step.ok), steps: done }
}
