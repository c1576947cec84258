import type { Context } from 'koa'
import type { Logger } from 'pino'
import type { Clients } from '../clients/clients.ts'
import type { Ctx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { parseId, toId } from '../core/ids.ts'
import { inTx } from '../db/transaction.ts'
import { formBody, formParameters, queryParameters } from '../http/body.ts'
import { type CookieJar, ensureBrowser, SESSION_COOKIE } from '../http/cookies.ts'
import { csrfToken, demandOwnForm } from '../http/csrf.ts'
import { pageErrors } from '../http/html/error-page.tsx'
import { seeOther, sendPage } from '../http/html/page.tsx'
import type { Mount } from '../http/mount.ts'
import { requestContext } from '../http/request-context.ts'
import { authorizationResponse, type Journey } from '../login/journey.ts'
import { answerIdentified } from '../login/routes.tsx'
import type { Session } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { profileClaims, type TokenIssuer } from '../tokens/access-token.ts'
import type { Codes } from '../tokens/codes.ts'
import { JWKS_MAX_AGE_SECONDS, type SigningKeys } from '../tokens/signing-keys.ts'
import { type AuthorizeRequest, readAuthorizeRequest } from './authorize.ts'
import { discoveryDocument } from './discovery.ts'
import type { Logout } from './logout.ts'
import { oauthErrors } from './middleware.ts'
import { SignedOutPage, SignOutPage } from './pages.tsx'
import type { TokenEndpoint } from './token.ts'

const FORM_LIMIT_BYTES = 16 * 1024

type Deps = {
  journey: Journey
  clients: Clients
  sessions: Sessions
  codes: Codes
  keys: SigningKeys
  tokenEndpoint: TokenEndpoint
  tokenIssuer: TokenIssuer
  logout: Logout
  jar: CookieJar
  baseUrl: string
  logger: Logger
}

const bearerToken = (koa: Context): string => {
  const match = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(koa.get('Authorization'))
  if (!match) throw new AppError('unauthenticated', 'invalid_token', 'An access token is required.')
  return match[1] as string
}

export const providerRoutes = (deps: Deps): Mount => {
  const {
    journey,
    clients,
    sessions,
    codes,
    keys,
    tokenEndpoint,
    tokenIssuer,
    logout,
    jar,
    baseUrl,
    logger,
  } = deps

  const resume = async (koa: Context) => {
    const cookie = jar.read(koa, SESSION_COOKIE)
    return cookie === undefined ? null : sessions.resume(requestContext(koa), cookie)
  }

  /** Recent enough for `max_age`, and of the person that `id_token_hint` names (OpenID Connect Core 3.1.2.1). */
  const suits = async (ctx: Ctx, request: AuthorizeRequest, session: Session): Promise<boolean> => {
    if (request.maxAge !== null && !sessions.isRecent(session, request.maxAge)) return false
    if (request.idTokenHint === undefined) return true
    return (await tokenIssuer.sessionOfIdToken(ctx, request.idTokenHint))?.userId === session.userId
  }

  /** A live session of this browser that may answer this app; null where someone has to sign in. */
  const codeFromSession = async (
    koa: Context,
    ctx: Ctx,
    request: AuthorizeRequest,
  ): Promise<string | null> => {
    const resumed = request.prompt === 'login' ? null : await resume(koa)
    if (!resumed || !(await suits(ctx, request, resumed.session))) return null
    const { orgId } = resumed.ctx
    const wanted = request.org === undefined ? orgId : parseId('org', request.org)
    if (wanted !== orgId || (request.client.orgId ?? orgId) !== orgId) return null
    return inTx(resumed.ctx, async (tx) => {
      const session = await sessions.holdLive(tx, resumed.session.id)
      return session ? codes.issue(tx, session, request.login) : null
    })
  }

  const respond = (koa: Context, redirectUri: string, parameters: Record<string, string | null>): void =>
    seeOther(koa, authorizationResponse(redirectUri, parameters, baseUrl))

  const signIn = async (koa: Context, ctx: Ctx, request: AuthorizeRequest): Promise<void> => {
    const browser = ensureBrowser(jar, koa)
    const handle = await journey.begin(ctx, browser, request.login)
    const orgId = request.org === undefined ? null : parseId('org', request.org)
    const who =
      request.loginHint !== undefined ? { email: request.loginHint } : orgId === null ? undefined : { orgId }
    try {
      if (who) return answerIdentified(koa, await journey.identify(ctx, browser, handle, who))
    } catch (error) {
      // A hint that leads nowhere is a hint, not a fault: the page asks.
      if (!(error instanceof AppError) || error.code !== 'no_route') throw error
    }
    seeOther(koa, `/login?request=${encodeURIComponent(handle)}`)
  }

  const authorize = async (koa: Context): Promise<void> => {
    const ctx = requestContext(koa)
    const read = await readAuthorizeRequest(ctx, clients, queryParameters(koa))
    if ('refusal' in read) {
      const { redirectUri, state, error, description } = read.refusal
      return respond(koa, redirectUri, { error, error_description: description, state })
    }
    const { request } = read
    const code = await codeFromSession(koa, ctx, request)
    const { redirectUri, state } = request.login
    if (code !== null) return respond(koa, redirectUri, { code, state })
    if (request.prompt === 'none') return respond(koa, redirectUri, { error: 'login_required', state })
    return signIn(koa, ctx, request)
  }

  const userinfo = async (koa: Context): Promise<void> => {
    const asked = requestContext(koa)
    const audienceOf = async (id: string) => (await clients.byUuid(asked, id))?.audience
    const { ctx, user, scope } = await tokenIssuer.introspect(asked, bearerToken(koa), audienceOf)
    koa.set('Cache-Control', 'no-store')
    koa.body = { sub: toId('usr', user.id), org_id: toId('org', ctx.orgId), ...profileClaims(user, scope) }
  }

  /** False where no app of ours has said whose session is to end. */
  const signOutByHint = async (koa: Context, parameters: Readonly<Record<string, string>>) => {
    const out = await logout.byHint(requestContext(koa), parameters, await resume(koa))
    if (out === null) return false
    if (out.forgetCookie) jar.clear(koa, SESSION_COOKIE)
    if (out.redirectTo === undefined) sendPage(koa, <SignedOutPage />)
    else seeOther(koa, out.redirectTo)
    return true
  }

  return (router) => {
    const page = pageErrors({ logger })
    const oauth = oauthErrors({ logger })

    for (const path of ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']) {
      router.get(path, async (koa) => {
        koa.set('Cache-Control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`)
        koa.body = discoveryDocument(baseUrl)
      })
    }

    router.get('/.well-known/jwks.json', oauth, async (koa) => {
      koa.body = await keys.publicKeys(requestContext(koa))
      koa.type = 'application/jwk-set+json'
      koa.set('Cache-Control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`)
    })

    router.get('/oauth2/authorize', page, authorize)

    router.post('/oauth2/token', oauth, formBody(FORM_LIMIT_BYTES), async (koa) => {
      koa.body = await tokenEndpoint.handle(
        requestContext(koa),
        koa.get('Authorization'),
        formParameters(koa),
      )
      koa.set('Cache-Control', 'no-store')
      koa.set('Pragma', 'no-cache')
    })

    // OpenID Connect Core section 5.3: by GET and by POST.
    router.get('/oauth2/userinfo', oauth, userinfo)
    router.post('/oauth2/userinfo', oauth, userinfo)

    router.get('/oauth2/logout', page, async (koa) => {
      if (!(await signOutByHint(koa, queryParameters(koa)))) {
        sendPage(koa, <SignOutPage csrf={csrfToken(jar, koa)} />)
      }
    })

    router.post('/oauth2/logout', page, formBody(FORM_LIMIT_BYTES), async (koa) => {
      const parameters = formParameters(koa)
      // An app may post its hint (RP-Initiated Logout section 2); anything else is our own form or a stranger's.
      if (await signOutByHint(koa, parameters)) return
      demandOwnForm({ jar, baseUrl }, koa, parameters.csrf)
      const resumed = await resume(koa)
      if (resumed) await logout.end(resumed.ctx, resumed.session.id)
      jar.clear(koa, SESSION_COOKIE)
      sendPage(koa, <SignedOutPage />)
    })
  }
}
