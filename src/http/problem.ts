import type { Context, Middleware } from 'koa'
import type { Logger } from 'pino'
import { AppError, type Kind } from '../core/errors.ts'
import { asDatabaseFault } from '../db/faults.ts'
import { requestContext } from './request-context.ts'

/** HTTP status by kind, for edges that have no vocabulary of their own (RFC 9110 section 15). */
export const STATUS = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  precondition: 412,
  too_large: 413,
  unsupported: 415,
  rate_limited: 429,
  upstream: 502,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<Kind, number>

const RETRY_AFTER_SECONDS = '5'

/** Any thrown thing as an `AppError`: the database's absence is `unavailable`, a stranger is `internal`. */
export const asAppError = (error: unknown): AppError => {
  const known = asDatabaseFault(error)
  if (known instanceof AppError) return known
  const status = (known as { status?: unknown; expose?: unknown })?.status
  if (status === 413) {
    return new AppError('too_large', 'body_too_large', 'The request body is too large.', { cause: known })
  }
  if (status === 415) {
    return new AppError(
      'unsupported',
      'media_type',
      'The request body is of a type or encoding that is not taken here.',
      { cause: known },
    )
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('invalid', 'bad_request', 'The request could not be read.', { cause: known })
  }
  return new AppError('internal', 'internal', 'Something went wrong on our side.', { cause: known })
}

/** One line for the log: everything the caller is not shown, nothing that is secret. */
export const logError = (logger: Logger, koa: Context, error: AppError): void => {
  const line = {
    requestId: requestContext(koa).requestId,
    kind: error.kind,
    error: error.code,
    detail: error.detail,
    err: error.kind === 'internal' || error.kind === 'unavailable' ? error.cause : undefined,
  }
  if (error.kind === 'internal') logger.error(line, error.message)
  else logger.info(line, 'refused')
}

/** Sets status and the headers that go with a kind. */
export const setErrorStatus = (koa: Context, error: AppError): void => {
  koa.status = STATUS[error.kind]
  koa.set('Cache-Control', 'no-store')
  if (error.kind === 'unavailable' || error.kind === 'rate_limited') {
    koa.set('Retry-After', RETRY_AFTER_SECONDS)
  }
}

/** The outermost edge: problem+json (RFC 9457) for whatever no inner edge has answered. */
export const problemErrors = ({ logger }: { logger: Logger }): Middleware => {
  return async (koa, next) => {
    try {
      await next()
      if (koa.status === 404 && koa.body === undefined) {
        throw new AppError('not_found', 'not_found', 'There is nothing at this address.')
      }
    } catch (thrown) {
      const error = asAppError(thrown)
      logError(logger, koa, error)
      setErrorStatus(koa, error)
      koa.type = 'application/problem+json'
      koa.body = JSON.stringify({
        title: error.message,
        status: STATUS[error.kind],
        code: error.code,
        reference: requestContext(koa).requestId,
      })
    }
  }
}
