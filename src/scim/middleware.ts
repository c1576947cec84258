import { bodyParser } from '@koa/bodyparser'
import type { Context } from 'koa'
import type { Logger } from 'pino'
import { AppError } from '../core/errors.ts'
import { parseId } from '../core/ids.ts'
import { asAppError, logError, STATUS } from '../http/problem.ts'
import { requestContext } from '../http/request-context.ts'
import type { Directories, DirectoryCtx } from './directories.ts'
import { scimFault, scimTypes } from './faults.ts'
import { demandHarmless, isObject, type JsonObject } from './json.ts'
import { type Profile, profileOf } from './profiles.ts'

/** What a handler gives back; the rest of HTTP is here. */
export type Answer = { status: number; body?: JsonObject; headers?: Readonly<Record<string, string>> }

// `unsupported` covers three things that HTTP tells apart.
const STATUS_BY_CODE: Readonly<Record<string, number>> = { method_not_allowed: 405, not_implemented: 501 }

const RETRY_AFTER_SECONDS = '5'
const BODY_LIMIT_BYTES = 256 * 1024
const MEDIA_TYPES: string[] = ['application/scim+json', 'application/json']

/** RFC 7644 section 3.12. */
const errorBody = (error: AppError, status: number, reference: string): JsonObject => {
  const type = Object.hasOwn(scimTypes, error.code) ? scimTypes[error.code as keyof typeof scimTypes] : null
  const detail =
    error.kind === 'internal'
      ? `Portico could not answer. Ask its operator about ${reference}.`
      : error.message
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: String(status),
    ...(type === null ? {} : { scimType: type }),
    detail,
  }
}

/** Any thrown thing as a SCIM error; what the caller is not shown goes to the log. */
export const errorAnswer = (koa: Context, logger: Logger, thrown: unknown): Answer => {
  const error = asAppError(thrown)
  logError(logger, koa, error)
  const status = STATUS_BY_CODE[error.code] ?? STATUS[error.kind]
  const headers: Record<string, string> = {}
  if (status === 401) {
    const presented = koa.get('authorization') !== ''
    headers['WWW-Authenticate'] = `Bearer realm="scim"${presented ? ', error="invalid_token"' : ''}`
  }
  if (status === 429 || status === 503) headers['Retry-After'] = RETRY_AFTER_SECONDS
  if (status === 405) headers.Allow = String(error.detail?.allow ?? '')
  return { status, headers, body: errorBody(error, status, requestContext(koa).requestId) }
}

/** Writes an answer in the media type that was asked for, else in the one that the directory's profile prefers. */
export const render = (koa: Context, answer: Answer, profile: Profile | null): void => {
  const preferred = profile?.contentType ?? 'application/scim+json'
  const accepted = koa.accepts([preferred, ...MEDIA_TYPES.filter((type) => type !== preferred)])
  koa.status = answer.status
  koa.set({ 'Cache-Control': 'no-store', ...answer.headers })
  if (answer.body === undefined) {
    koa.body = null
    koa.status = answer.status
    return
  }
  koa.set('Content-Type', typeof accepted === 'string' ? accepted : preferred)
  koa.body = JSON.stringify(answer.body)
}

const bearer = (koa: Context): string =>
  /^Bearer +([\w.~+/-]+=*) *$/i.exec(koa.get('authorization'))?.[1] ?? ''

/**
 * The directory that asks; the tenant comes from its token, the URL only has to agree.
 * @throws AppError `unauthenticated`, `not_found`
 */
export const authenticate = async (koa: Context, directories: Directories): Promise<DirectoryCtx> => {
  const named: unknown = koa.params.dir
  const directoryId = typeof named === 'string' ? parseId('dir', named) : null
  return directories.authenticate(requestContext(koa), bearer(koa), directoryId)
}

export const profileFor = (ctx: DirectoryCtx): Profile => profileOf(ctx.directory.profile)

const parse = bodyParser({
  enableTypes: ['json'],
  jsonLimit: BODY_LIMIT_BYTES,
  encoding: 'utf-8',
  onError: (error) => {
    const status = (error as { status?: number }).status
    if (status === 413) {
      throw new AppError('too_large', 'body_too_large', `A body may have ${BODY_LIMIT_BYTES} bytes at most.`)
    }
    if (status === 415)
      throw new AppError('unsupported', 'media_type', 'This content encoding is not offered.')
    // Without the parser's own message: it quotes the body.
    throw scimFault('invalid_syntax', 'The body is not JSON, or it holds a key that is not allowed.')
  },
})

/**
 * The JSON object of a request.
 * @throws AppError `unsupported`/`media_type`, `too_large`/`body_too_large`, `invalid`/`invalid_syntax`
 */
export const readBody = async (koa: Context): Promise<JsonObject> => {
  if (koa.request.length === 0 || koa.request.is(MEDIA_TYPES) === null) {
    throw scimFault('invalid_syntax', 'The request needs a JSON body.')
  }
  if (koa.request.is(MEDIA_TYPES) === false) {
    throw new AppError('unsupported', 'media_type', 'Send application/scim+json or application/json.')
  }
  await parse(koa, async () => {})
  const { body } = koa.request as { body?: unknown }
  if (!isObject(body)) throw scimFault('invalid_syntax', 'The body has to be a JSON object.')
  demandHarmless(body)
  return body
}
