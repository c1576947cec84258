import type { Context } from 'koa'
import { AppError } from '../core/errors.ts'
import { equalBytes, hmacSha256 } from '../crypto/hash.ts'
import { type CookieJar, ensureBrowser, readBrowser } from './cookies.ts'

const PURPOSE = 'portico/csrf'

const tokenOf = (secret: string): Buffer => hmacSha256(Buffer.from(secret), PURPOSE)

/**
 * The hidden field of a form: derived from the cookie that names this browser, which no other site can read or set. A
 * cookie of its own would be made twice by two tabs that open at once, and the form of one of them would be dead.
 */
export const csrfToken = (jar: CookieJar, koa: Context): string =>
  tokenOf(ensureBrowser(jar, koa)).toString('base64url')

/**
 * Holds a form post to its page: the Origin must be ours and the token must belong to the browser's cookie.
 * @throws AppError `forbidden`/`form_expired`
 */
export const demandOwnForm = (
  { jar, baseUrl }: { jar: CookieJar; baseUrl: string },
  koa: Context,
  presented: string | undefined,
): void => {
  const origin = koa.get('Origin')
  const secret = readBrowser(jar, koa)
  const own =
    (origin === '' || origin === baseUrl) &&
    secret !== undefined &&
    presented !== undefined &&
    equalBytes(Buffer.from(presented, 'base64url'), tokenOf(secret))
  if (!own) {
    throw new AppError(
      'forbidden',
      'form_expired',
      'This page was open for too long, or was not ours. Go back and try again.',
    )
  }
}
