import type { Context, Middleware } from 'koa'
import type { Logger } from 'pino'
import type { AppError, Kind } from '../core/errors.ts'
import { asAppError, logError, setErrorStatus } from '../http/problem.ts'
import { requestContext } from '../http/request-context.ts'

/** RFC 6749 section 5.2 and RFC 6750 section 3.1; a code that is one of theirs stands, any other gets its kind's. */
const OAUTH_CODES = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
  'invalid_token',
])

const ERROR_OF_KIND = {
  invalid: 'invalid_request',
  unauthenticated: 'invalid_client',
  forbidden: 'access_denied',
  not_found: 'invalid_request',
  conflict: 'invalid_request',
  precondition: 'invalid_request',
  too_large: 'invalid_request',
  unsupported: 'invalid_request',
  rate_limited: 'temporarily_unavailable',
  upstream: 'temporarily_unavailable',
  unavailable: 'temporarily_unavailable',
  internal: 'server_error',
} as const satisfies Record<Kind, string>

const oauthCode = (error: AppError): string =>
  OAUTH_CODES.has(error.code) ? error.code : ERROR_OF_KIND[error.kind]

/** The edge of the OAuth endpoints that answer in JSON. */
export const oauthErrors = ({ logger }: { logger: Logger }): Middleware => {
  return async (koa: Context, next) => {
    try {
      await next()
    } catch (thrown) {
      const error = asAppError(thrown)
      logError(logger, koa, error)
      setErrorStatus(koa, error)
      const code = oauthCode(error)
      if (code === 'invalid_token') koa.set('WWW-Authenticate', `Bearer error="invalid_token"`)
      else if (code === 'invalid_client') koa.set('WWW-Authenticate', 'Basic realm="portico"')
      koa.set('Pragma', 'no-cache')
      koa.body = { error: code, error_description: error.message, reference: requestContext(koa).requestId }
    }
  }
}
