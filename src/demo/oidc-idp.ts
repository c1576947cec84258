/**
 * An OpenID Connect IdP for trying and testing, on the package oidc-provider, with sign-in pages of our own. It asks
 * who signs in every time, so that one browser can try several people, and it never asks for consent.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'
import Koa from 'koa'
import type { AdapterPayload, Provider } from 'oidc-provider'
import { createOidcStore } from './oidc-store.ts'
import { faultPage, noticePage, PAGE_HEADERS, pickPersonPage } from './pages.tsx'
import { findPerson, listenLocally, loadPeer, type Person } from './peers.ts'

export type OidcIdpOptions = {
  people: readonly Person[]
  /** Default: any free port. */
  port?: number
  /** The address the world sees, where something terminates TLS in front. Default: `http://localhost:<port>`. */
  baseUrl?: string
  /** What the pages call the company. */
  name?: string
}

export type OidcClient = { clientId: string; clientSecret: string; redirectUri: string }

export type OidcIdp = {
  issuer: string
  /** Adds a client, or replaces the one of this ID. */
  register: (client: OidcClient) => void
  close: () => Promise<void>
}

const SCOPES = ['openid', 'profile', 'email', 'groups']
const CLAIMS = {
  openid: ['sub'],
  profile: ['name', 'given_name', 'family_name', 'preferred_username', 'groups'],
  email: ['email', 'email_verified'],
  groups: ['groups'],
}

const claimsOf = (person: Person) => ({
  sub: person.id,
  name: person.displayName,
  given_name: person.givenName,
  family_name: person.familyName,
  preferred_username: person.email,
  email: person.email,
  email_verified: true,
  groups: [...person.groups],
})

const signingKey = async () => {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = await exportJWK(privateKey)
  return { ...jwk, use: 'sig', alg: 'RS256', kid: await calculateJwkThumbprint(jwk) }
}

const errorPage = (
  ctx: Koa.Context,
  name: string,
  out: { error: string; error_description?: string | undefined },
) => {
  ctx.set(PAGE_HEADERS)
  ctx.body = faultPage(
    { kind: 'oidc', eyebrow: name, title: 'This sign-in cannot go on' },
    `${out.error_description ?? 'The request was refused'} (${out.error}).`,
  )
}

/** Cookies know no ports: two IdPs on localhost must not overwrite each other's. */
const cookieName = (port: number, part: string): string => `demo_idp_${port}_${part}`

const openProvider = async (
  issuer: string,
  options: OidcIdpOptions & { name: string; port: number },
  clients: ReadonlyMap<string, AdapterPayload>,
): Promise<Provider> => {
  const { Provider, interactionPolicy } = await loadPeer('oidc-provider', () => import('oidc-provider'))
  const policy = interactionPolicy.base()
  policy
    .get('login')
    ?.checks.add(
      new interactionPolicy.Check(
        'always_ask',
        'The demo asks every time',
        ({ oidc }) => !oidc.result?.login,
      ),
    )
  const cookie = (part: string): string => cookieName(options.port, part)
  return new Provider(issuer, {
    adapter: createOidcStore(clients),
    jwks: { keys: [await signingKey()] },
    cookies: {
      keys: [randomBytes(32).toString('base64url')],
      names: { session: cookie('session'), interaction: cookie('interaction'), resume: cookie('resume') },
    },
    scopes: SCOPES,
    claims: CLAIMS,
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    interactions: { policy, url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: (_ctx, id) => {
      const person = options.people.find((one) => one.id === id)
      return person && { accountId: person.id, claims: async () => claimsOf(person) }
    },
    loadExistingGrant: async ({ oidc }) => {
      const { client, provider, session } = oidc
      if (!client || !session?.accountId) return undefined
      const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId })
      for (const scope of SCOPES) grant.addOIDCScope(scope)
      await grant.save()
      return grant
    },
    renderError: (ctx, out) => errorPage(ctx, options.name, out),
    // Said out loud, so that the package does not warn about its defaults.
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      Grant: 3600,
      IdToken: 600,
      Interaction: 3600,
      Session: 3600,
    },
  })
}

/** The pages that oidc-provider leaves to us. */
const interactionPages = (
  provider: Provider,
  { people, name, port }: { people: readonly Person[]; name: string; port: number },
): Koa => {
  const look = { kind: 'oidc', eyebrow: name } as const
  const router = new Router()
  const pick = async (ctx: Koa.Context, fault?: string): Promise<void> => {
    const { uid, params } = await provider.interactionDetails(ctx.req, ctx.res)
    const hint = typeof params.login_hint === 'string' ? params.login_hint : undefined
    ctx.body = pickPersonPage(
      { ...look, title: 'Sign in' },
      { action: `/interaction/${uid}`, people, hidden: {}, hint, fault, cancellable: true },
    )
  }
  /** Who was signed in before must not matter: oidc-provider would sign that person out with a page that needs scripts. */
  const forgetSession = async (ctx: Koa.Context): Promise<void> => {
    const interaction = await provider.interactionDetails(ctx.req, ctx.res)
    delete interaction.session
    await interaction.save(interaction.exp - Math.floor(Date.now() / 1000))
    ctx.cookies.set(cookieName(port, 'session'), null)
  }

  router.get('/', (ctx) => {
    ctx.body = noticePage({ ...look, title: 'An OpenID Connect identity provider' }, [
      'It stands for the IdP of a company. Start at the app: the broker sends people here to sign in.',
    ])
  })
  router.get('/interaction/:uid', (ctx) => pick(ctx))
  router.post('/interaction/:uid', bodyParser({ enableTypes: ['form'] }), async (ctx) => {
    const form = (ctx.request.body ?? {}) as Record<string, unknown>
    const wanted = [form.person, form.email].find((value) => typeof value === 'string') as string | undefined
    const person = findPerson(people, wanted)
    if (!person && form.cancel === undefined) {
      ctx.status = 404
      return pick(ctx, `Nobody here is called “${(wanted ?? '').slice(0, 200)}”.`)
    }
    await forgetSession(ctx)
    ctx.respond = false
    await provider.interactionFinished(
      ctx.req,
      ctx.res,
      person
        ? { login: { accountId: person.id, amr: ['pwd'], remember: false } }
        : { error: 'access_denied', error_description: 'The person cancelled the sign-in' },
    )
  })
  const app = new Koa()
  app.use(async (ctx, next) => {
    ctx.set(PAGE_HEADERS)
    try {
      await next()
    } catch (error) {
      // A stale address or a browser without the cookie of this interaction.
      if ((error as { error?: string }).error !== 'invalid_request') throw error
      ctx.respond = true
      ctx.status = 400
      ctx.body = faultPage(
        { ...look, title: 'This sign-in cannot go on' },
        'It has expired, or it was begun in another browser. Start again at the app.',
      )
    }
  })
  app.use(router.routes())
  return app
}

/** @throws AppError `unsupported` (oidc-provider is not installed), `conflict` (the port is taken) */
export const startOidcIdp = async (options: OidcIdpOptions): Promise<OidcIdp> => {
  const name = options.name ?? 'Demo company (OIDC)'
  const server = await listenLocally(options.port)
  const issuer = options.baseUrl ?? server.origin
  const clients = new Map<string, AdapterPayload>()
  const provider = await openProvider(issuer, { ...options, name, port: server.port }, clients).catch(
    async (error) => {
      await server.close()
      throw error
    },
  )
  provider.proxy = issuer.startsWith('https:')
  const pages = interactionPages(provider, { people: options.people, name, port: server.port }).callback()
  const protocol = provider.callback()
  // Side by side, not one mounted in the other: a mounted oidc-provider signs cookies with its parent's keys.
  server.handle((request: IncomingMessage, response: ServerResponse) => {
    const path = request.url?.split('?')[0] ?? '/'
    const handler = path === '/' || path.startsWith('/interaction/') ? pages : protocol
    handler(request, response)
  })

  return {
    issuer,
    register: ({ clientId, clientSecret, redirectUri }) => {
      clients.set(clientId, {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        token_endpoint_auth_method: 'client_secret_basic',
      })
    },
    close: server.close,
  }
}
