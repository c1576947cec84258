import type { Context } from 'koa'
import type { Logger } from 'pino'
import type { Connections } from '../connections/connections.ts'
import { type Begun, type Callback, type ConnectionType, refusal } from '../connections/contract.ts'
import { AppError } from '../core/errors.ts'
import { fromId } from '../core/ids.ts'
import { forOrg, lookUpOrg } from '../db/transaction.ts'
import { formBody, formParameters, queryParameters } from '../http/body.ts'
import { type CookieJar, readBrowser, SESSION_COOKIE } from '../http/cookies.ts'
import { csrfToken, demandOwnForm } from '../http/csrf.ts'
import { ErrorPage, pageErrors } from '../http/html/error-page.tsx'
import { seeOther, sendPage } from '../http/html/page.tsx'
import type { Mount } from '../http/mount.ts'
import { STATUS } from '../http/problem.ts'
import { requestContext } from '../http/request-context.ts'
import type { IdentifyOutcome, Journey, Refused } from './journey.ts'
import { HandOverPage, LoginPage } from './pages.tsx'
import { REFUSAL_TEXTS } from './refusals.ts'

const FORM_LIMIT_BYTES = 8 * 1024
/** Base64 of the 256 KB that the SAML reader accepts, and the encoding around it. */
const CALLBACK_LIMIT_BYTES = 512 * 1024

type Deps = {
  journey: Journey
  connections: Connections
  types: readonly ConnectionType[]
  jar: CookieJar
  baseUrl: string
  logger: Logger
}

/** On to the IdP: by redirect, or by a form of ours. */
const handOver = (koa: Context, to: Begun['to']): void => {
  if ('redirect' in to) seeOther(koa, to.redirect)
  else sendPage(koa, <HandOverPage {...to.form} />)
}

/** Told on a page of its own, which can be reloaded and posts nothing. */
const showRefused = (koa: Context, { refused }: Refused): void => {
  const { reference, requestHandle } = refused
  const query = requestHandle === undefined ? '' : `?request=${encodeURIComponent(requestHandle)}`
  seeOther(koa, `/login/error/${reference}${query}`)
}

/** What follows when the home realm is known: on to the IdP, or the page that says why not. */
export const answerIdentified = (koa: Context, outcome: IdentifyOutcome): void =>
  'refused' in outcome ? showRefused(koa, outcome) : handOver(koa, outcome.to)

export const loginRoutes = ({ journey, connections, types, jar, baseUrl, logger }: Deps): Mount => {
  const showLogin = (
    koa: Context,
    page: { clientName: string; handle: string; email: string; fault: string | undefined },
  ) => sendPage(koa, <LoginPage {...page} csrf={csrfToken(jar, koa)} />)

  /** The sign-in that an error page offers to take up again: still open, and begun in this browser. */
  const waitingBehind = async (koa: Context, handle: string | undefined) => {
    if (handle === undefined) return undefined
    const waiting = await journey.waiting(requestContext(koa), readBrowser(jar, koa), handle)
    const again = `/login?request=${encodeURIComponent(handle)}`
    return waiting && { clientName: waiting.clientName, again }
  }

  const readCallback = (koa: Context): Callback => ({
    method: koa.method === 'POST' ? 'POST' : 'GET',
    query: queryParameters(koa),
    form: koa.method === 'POST' ? formParameters(koa) : {},
  })

  const finish = (type: string) => async (koa: Context & { params: Record<string, string> }) => {
    const outcome = await journey.callback(requestContext(koa), {
      type,
      connection: koa.params.con ?? '',
      browser: readBrowser(jar, koa),
      input: readCallback(koa),
    })
    if ('refused' in outcome) return showRefused(koa, outcome)
    jar.write(koa, SESSION_COOKIE, outcome.signedIn.sessionCookie)
    seeOther(koa, outcome.signedIn.redirectTo)
  }

  const showMetadata = (type: string) => async (koa: Context & { params: Record<string, string> }) => {
    const id = fromId('con', koa.params.con ?? '')
    const ctx = requestContext(koa)
    const orgId = await lookUpOrg(ctx, 'org_of_connection', id)
    const found = orgId === null ? undefined : await connections.open(forOrg(ctx, orgId), id)
    const document = found?.connection.type === type ? found.opened.metadata?.() : undefined
    if (document === undefined) throw new AppError('not_found', 'not_found', 'There is no such metadata.')
    koa.type = 'application/samlmetadata+xml'
    koa.body = document
  }

  /** An address that leads nowhere is asked for again, on the same page. */
  const askAgain = async (koa: Context, error: unknown, handle: string, email: string): Promise<void> => {
    const waiting = await journey.waiting(requestContext(koa), readBrowser(jar, koa), handle)
    if (!(error instanceof AppError) || error.code !== 'no_route' || !waiting) throw error
    koa.status = STATUS.invalid
    showLogin(koa, { clientName: waiting.clientName, handle, email, fault: error.message })
  }

  return (router) => {
    const page = pageErrors({ logger })

    router.get('/login', page, async (koa) => {
      const { request: handle = '' } = queryParameters(koa)
      const waiting = await journey.waiting(requestContext(koa), readBrowser(jar, koa), handle)
      if (!waiting) return showRefused(koa, await journey.expired(requestContext(koa)))
      showLogin(koa, { clientName: waiting.clientName, handle, email: '', fault: undefined })
    })

    router.post('/login', page, formBody(FORM_LIMIT_BYTES), async (koa) => {
      const { request: handle = '', email = '', csrf } = formParameters(koa)
      demandOwnForm({ jar, baseUrl }, koa, csrf)
      try {
        const browser = readBrowser(jar, koa)
        answerIdentified(koa, await journey.identify(requestContext(koa), browser, handle, { email }))
      } catch (error) {
        await askAgain(koa, error, handle, email)
      }
    })

    router.get('/login/error/:reference', page, async (koa) => {
      const { request: handle } = queryParameters(koa)
      const reference = koa.params.reference ?? ''
      const reason = await journey.reasonOf(requestContext(koa), reference)
      if (reason === undefined) throw new AppError('not_found', 'not_found', 'There is no such reference.')
      const waiting = await waitingBehind(koa, handle)
      koa.status = STATUS[refusal(reason).kind]
      sendPage(koa, <ErrorPage text={REFUSAL_TEXTS[reason]} reference={reference} waiting={waiting} />)
    })

    for (const { type, callback } of types) {
      router.get(`/${type}/:con/metadata`, page, showMetadata(type))
      const path = `/${type}/:con/${callback.path}`
      if (callback.methods.includes('GET')) router.get(path, page, finish(type))
      if (callback.methods.includes('POST'))
        router.post(path, page, formBody(CALLBACK_LIMIT_BYTES), finish(type))
    }
  }
}
