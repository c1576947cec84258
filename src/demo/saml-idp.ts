/**
 * A SAML 2.0 IdP for trying and testing, on the package samlp. It keeps no session: everybody is asked every time, and
 * the AuthnRequest travels along in the form and is verified anew when the form comes back.
 */
import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import Koa from 'koa'
import { AppError } from '../core/errors.ts'
import { faultPage, handOverPage, noticePage, PAGE_HEADERS, pickPersonPage } from './pages.tsx'
import { findPerson, listenLocally, type Person } from './peers.ts'
import { createSigningIdentity } from './saml-certificate.ts'
import {
  openSamlProtocol,
  type RequestParameters,
  type ServiceProvider,
  samlMetadata,
} from './saml-protocol.ts'

export type SamlIdpOptions = {
  people: readonly Person[]
  /** Default: any free port. */
  port?: number
  /** The address the world sees, where something terminates TLS in front. Default: `http://localhost:<port>`. */
  baseUrl?: string
  /** What the pages call the company. */
  name?: string
  /** Which fact about a person becomes the NameID. Default: the address. */
  nameId?: 'email' | 'id'
}

export type SamlIdp = {
  url: string
  entityId: string
  metadataUrl: string
  metadataXml: string
  /** Adds a service provider, or replaces the one of this entity ID. */
  setServiceProvider: (serviceProvider: ServiceProvider) => void
  close: () => Promise<void>
}

type Parameters = Readonly<Record<string, unknown>>

const text = (parameters: Parameters, name: string): string | undefined => {
  const value = parameters[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The parameters of the redirect binding, without empty ones; a repeated one counts as absent. */
const requestParameters = (parameters: Parameters): RequestParameters & Record<string, string> => {
  const kept: Record<string, string> = {}
  for (const name of ['SAMLRequest', 'RelayState', 'SigAlg', 'Signature']) {
    const value = text(parameters, name)
    if (value !== undefined) kept[name] = value
  }
  return kept
}

/** @throws AppError `unsupported` (samlp is not installed), `conflict` (the port is taken) */
export const startSamlIdp = async (options: SamlIdpOptions): Promise<SamlIdp> => {
  const { people, name = 'Demo company (SAML)', nameId = 'email' } = options
  const server = await listenLocally(options.port)
  const url = options.baseUrl ?? server.origin
  const metadataUrl = `${url}/metadata`
  const ssoUrl = `${url}/sso`
  const serviceProviders = new Map<string, ServiceProvider>()
  const identity = await createSigningIdentity('Demo SAML IdP')
  const metadataXml = samlMetadata({ entityId: metadataUrl, ssoUrl, identity, nameId })
  const protocol = await openSamlProtocol({
    entityId: metadataUrl,
    ssoUrl,
    identity,
    nameId,
    findServiceProvider: (entityId) => serviceProviders.get(entityId),
  }).catch(async (error) => {
    await server.close()
    throw error
  })
  const look = { kind: 'saml', eyebrow: name } as const

  const signIn = async (ctx: Koa.Context, parameters: Parameters): Promise<string> => {
    const carried = requestParameters(parameters)
    const request = await protocol.readRequest(carried)
    const wanted = text(parameters, 'person') ?? text(parameters, 'email')
    const person = findPerson(people, wanted)
    if (person) {
      return handOverPage(
        { ...look, title: `Welcome, ${person.givenName}` },
        {
          action: request.serviceProvider.acsUrl,
          fields: {
            SAMLResponse: await protocol.respond(request, person),
            ...(carried.RelayState === undefined ? {} : { RelayState: carried.RelayState }),
          },
        },
      )
    }
    if (wanted !== undefined) ctx.status = 404
    return pickPersonPage(
      { ...look, title: 'Sign in' },
      {
        action: ssoUrl,
        people,
        hidden: carried,
        fault: wanted === undefined ? undefined : `Nobody here is called “${wanted.slice(0, 200)}”.`,
      },
    )
  }

  const router = new Router()
  router.get('/', (ctx) => {
    ctx.body = noticePage({ ...look, title: 'A SAML identity provider' }, [
      'It stands for the IdP of a company. Start at the app: the broker sends people here to sign in.',
      `Its metadata is at ${metadataUrl}.`,
    ])
  })
  router.get('/metadata', (ctx) => {
    ctx.type = 'application/samlmetadata+xml'
    ctx.body = metadataXml
  })
  router.get('/sso', async (ctx) => {
    ctx.body = await signIn(ctx, ctx.query)
  })
  router.post('/sso', bodyParser({ enableTypes: ['form'], formLimit: '128kb' }), async (ctx) => {
    ctx.body = await signIn(ctx, (ctx.request.body ?? {}) as Parameters)
  })

  const app = new Koa()
  app.use(async (ctx, next) => {
    ctx.set(PAGE_HEADERS)
    try {
      await next()
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      ctx.status = 400
      ctx.body = faultPage({ ...look, title: 'This sign-in cannot go on' }, error.message)
    }
  })
  app.use(router.routes())
  server.handle(app.callback())

  return {
    url,
    entityId: metadataUrl,
    metadataUrl,
    metadataXml,
    setServiceProvider: (serviceProvider) => {
      serviceProviders.set(serviceProvider.entityId, serviceProvider)
    },
    close: server.close,
  }
}
