import { bodyParser } from '@koa/bodyparser'
import type { Context, Middleware } from 'koa'
import { AppError } from '../core/errors.ts'

/**
 * A urlencoded form up to `limitBytes`, parsed strictly afterwards with `formParameters`. Kept raw: the library's
 * own parsing merges repeated parameters, and a repeated parameter is how two readers come to disagree.
 */
export const formBody = (limitBytes: number): Middleware =>
  bodyParser({
    enableTypes: ['text'],
    textLimit: limitBytes,
    extendTypes: { text: ['application/x-www-form-urlencoded'] },
    encoding: 'utf-8',
  })

/**
 * Every parameter exactly once, in a null-prototype record.
 * @throws AppError `invalid`/`parameter_repeated` (RFC 6749 section 3.1 for OAuth; ours for everything)
 */
export const singleParameters = (encoded: string): Readonly<Record<string, string>> => {
  const parameters: Record<string, string> = Object.create(null)
  for (const [name, value] of new URLSearchParams(encoded)) {
    if (name in parameters) {
      throw new AppError('invalid', 'parameter_repeated', 'A parameter was sent more than once.')
    }
    parameters[name] = value
  }
  return Object.freeze(parameters)
}

/** The parameters of a form body read by `formBody`; empty where there was none. */
export const formParameters = (koa: Context): Readonly<Record<string, string>> => {
  const body = (koa.request as { body?: unknown }).body
  if (koa.request.type !== 'application/x-www-form-urlencoded') {
    throw new AppError(
      'unsupported',
      'form_expected',
      'This address takes application/x-www-form-urlencoded.',
    )
  }
  return singleParameters(typeof body === 'string' ? body : '')
}

export const queryParameters = (koa: Context): Readonly<Record<string, string>> =>
  singleParameters(koa.querystring)
