import type { Context } from 'koa'
import type { Logger } from 'pino'
import { AppError } from '../core/errors.ts'
import type { User } from '../directory/user.ts'
import { queryParameters } from '../http/body.ts'
import type { Mount } from '../http/mount.ts'
import type { Directories, DirectoryCtx } from './directories.ts'
import { listResponse, resourceTypes, schemas, serviceProviderConfig } from './discovery.ts'
import type { JsonObject } from './json.ts'
import { type Answer, authenticate, errorAnswer, profileFor, readBody, render } from './middleware.ts'
import { project, readProjection } from './projection.ts'
import { userType } from './resource-types.ts'
import { entityTag, renderUser, userLocation } from './user-resource.ts'
import { type ScimUsers, tagMatches } from './users.ts'

type Deps = {
  directories: Directories
  users: ScimUsers
  /** The public base URL, without a trailing slash. */
  baseUrl: string
  logger: Logger
}

type ScimRequest = {
  ctx: DirectoryCtx
  koa: Context
  /** The directory's URL. */
  base: string
  query: Readonly<Record<string, string | undefined>>
  /** What the path names: a user, a schema. */
  id: string
}

type Handler = (request: ScimRequest) => Promise<Answer>
type Endpoint = Readonly<Partial<Record<'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', Handler>>>

const notFound: Handler = async () => {
  throw new AppError('not_found', 'not_found', 'There is nothing at this address.')
}

const notOffered =
  (what: string): Handler =>
  async () => {
    throw new AppError('unsupported', 'not_implemented', `${what} not offered here.`)
  }

const everyMethod = (handler: Handler): Endpoint => ({
  GET: handler,
  POST: handler,
  PUT: handler,
  PATCH: handler,
  DELETE: handler,
})

const represent = ({ base, query }: ScimRequest, user: User): JsonObject =>
  project(
    userType,
    renderUser(user, `${base}${userType.endpoint}`),
    readProjection(query.attributes, query.excludedAttributes),
  )

const userAnswer = (request: ScimRequest, user: User, status = 200): Answer => {
  const location = userLocation(user, `${request.base}${userType.endpoint}`)
  return {
    status,
    body: represent(request, user),
    headers: {
      ETag: entityTag(user),
      'Content-Location': location,
      ...(status === 201 ? { Location: location } : {}),
    },
  }
}

const userEndpoints = (users: ScimUsers): Readonly<Record<string, Endpoint>> => ({
  '/Users': {
    GET: async (request) => {
      const page = await users.list(request.ctx, request.query)
      const resources = page.users.map((user) => represent(request, user))
      return { status: 200, body: listResponse(resources, page.total, page.startIndex) }
    },
    POST: async (request) => {
      const user = await users.create(request.ctx, await readBody(request.koa))
      return userAnswer(request, user, 201)
    },
  },
  '/Users/.search': everyMethod(notOffered('Search by POST is')),
  '/Users/:id': {
    GET: async (request) => {
      const user = await users.get(request.ctx, request.id)
      const known = request.koa.get('if-none-match')
      if (known !== '' && tagMatches(known, user)) return { status: 304, headers: { ETag: entityTag(user) } }
      return userAnswer(request, user)
    },
    PUT: async (request) => {
      const body = await readBody(request.koa)
      return userAnswer(
        request,
        await users.replace(request.ctx, request.id, body, request.koa.get('if-match')),
      )
    },
    PATCH: async (request) => {
      const body = await readBody(request.koa)
      const user = await users.patch(request.ctx, request.id, body, request.koa.get('if-match'))
      // RFC 7644 section 3.5.2: who asks for attributes is answered with them.
      const wanted = request.query.attributes !== undefined
      if (profileFor(request.ctx).patchAnswer === 'empty' && !wanted) {
        return { status: 204, headers: { ETag: entityTag(user) } }
      }
      return userAnswer(request, user)
    },
    DELETE: async (request) => {
      await users.remove(request.ctx, request.id, request.koa.get('if-match'))
      return { status: 204 }
    },
  },
})

const discovery =
  (all: (base: string) => JsonObject[]): Handler =>
  async ({ base, query }) => {
    // RFC 7644 section 4: rather refuse than seem to have filtered.
    if (query.filter !== undefined) {
      throw new AppError('forbidden', 'no_filter_here', 'This list is always whole: it takes no filter.')
    }
    const resources = all(base)
    return { status: 200, body: listResponse(resources, resources.length) }
  }

const discoveryOne =
  (all: (base: string) => JsonObject[]): Handler =>
  async (request) => {
    const wanted = request.id.toLowerCase()
    const found = all(request.base).find(({ id }) => String(id).toLowerCase() === wanted)
    return found ? { status: 200, body: found } : notFound(request)
  }

const CONFIGURATION = '/ServiceProviderConfig'

const configuration = async ({ base }: Pick<ScimRequest, 'base'>): Promise<Answer> => ({
  status: 200,
  body: serviceProviderConfig(base),
})

const otherEndpoints: Readonly<Record<string, Endpoint>> = {
  [CONFIGURATION]: { GET: configuration },
  '/ResourceTypes': { GET: discovery(resourceTypes) },
  '/ResourceTypes/:id': { GET: discoveryOne(resourceTypes) },
  '/Schemas': { GET: discovery(schemas) },
  '/Schemas/:id': { GET: discoveryOne(schemas) },
  // A directory's token is nobody's (RFC 7644 section 3.11 allows the 501).
  '/Me': everyMethod(notOffered('An account of the caller is')),
  '/Bulk': everyMethod(notOffered('Bulk is')),
  '/.search': everyMethod(notOffered('Search by POST is')),
  '/Groups': everyMethod(notOffered('Groups are')),
  '/Groups/:id': everyMethod(notOffered('Groups are')),
}

const handlerFor = (endpoint: Endpoint, method: string): Handler => {
  const handler = endpoint[(method === 'HEAD' ? 'GET' : method) as keyof Endpoint]
  if (handler) return handler
  const allow = Object.keys(endpoint).join(', ')
  throw new AppError('unsupported', 'method_not_allowed', `This address takes ${allow}.`, {
    detail: { allow },
  })
}

// RFC 7643 section 5: how to authenticate should be readable before authenticating. A token that is sent is checked, so
// that an IdP which tests its connection here is told the truth.
const isOpen = (koa: Context, path: string): boolean =>
  path === CONFIGURATION && koa.get('authorization') === '' && ['GET', 'HEAD'].includes(koa.method)

/** `/scim/v2/{dir}/…`: every answer under it is SCIM's, whatever is asked. */
export const scimRoutes = ({ directories, users, baseUrl, logger }: Deps): Mount => {
  const baseOf = (koa: Context): string => `${baseUrl}/scim/v2/${String(koa.params.dir)}`

  const requestOf = (koa: Context, ctx: DirectoryCtx): ScimRequest => ({
    ctx,
    koa,
    base: baseOf(koa),
    query: queryParameters(koa),
    id: String(koa.params.id ?? ''),
  })

  const serve = (path: string, endpoint: Endpoint) => async (koa: Context) => {
    let ctx: DirectoryCtx | null = null
    const respond = (answer: Answer): void => render(koa, answer, ctx && profileFor(ctx))
    try {
      if (isOpen(koa, path)) return respond(await configuration({ base: baseOf(koa) }))
      ctx = await authenticate(koa, directories)
      respond(await handlerFor(endpoint, koa.method)(requestOf(koa, ctx)))
    } catch (error) {
      respond(errorAnswer(koa, logger, error))
    }
  }

  return (router) => {
    for (const [path, endpoint] of Object.entries({ ...userEndpoints(users), ...otherEndpoints })) {
      router.all(`/scim/v2/:dir${path}`, serve(path, endpoint))
    }
    for (const rest of ['/scim/v2/:dir{/*rest}', '/scim/v2'])
      router.all(rest, serve(rest, everyMethod(notFound)))
  }
}
