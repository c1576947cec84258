import type { Context } from 'koa'
import { randomToken } from '../crypto/hash.ts'

/** Which sites may cause the cookie to be sent along. */
type CookieUse = {
  name: string
  /** `cross-site` is for flows alone: the ACS and form_post are POSTs from the IdP's site. */
  sends: 'same-site' | 'cross-site'
  maxAgeSeconds?: number
}

export type CookieJar = ReturnType<typeof createCookieJar>

/**
 * Cookies whose attributes follow from the scheme of the base URL: over https `__Host-` and Secure; over plain
 * http://localhost neither, since not every client takes them there. Always HttpOnly, always an explicit SameSite:
 * without one Chromium carries a cookie on cross-site POSTs for two minutes only.
 */
export const createCookieJar = ({ baseUrl }: { baseUrl: string }) => {
  const secure = baseUrl.startsWith('https:')
  const fullName = (use: CookieUse): string => (secure ? `__Host-${use.name}` : use.name)

  const header = (use: CookieUse, value: string, maxAge: number | undefined): string =>
    [
      `${fullName(use)}=${value}`,
      'Path=/',
      'HttpOnly',
      // SameSite=None demands Secure; on localhost all ports are one site, so Lax carries the callback too.
      `SameSite=${use.sends === 'cross-site' && secure ? 'None' : 'Lax'}`,
      secure && 'Secure',
      maxAge !== undefined && `Max-Age=${maxAge}`,
    ]
      .filter((part) => typeof part === 'string')
      .join('; ')

  const read = (koa: Context, use: CookieUse): string | undefined =>
    koa.cookies.get(fullName(use), { signed: false })

  const write = (koa: Context, use: CookieUse, value: string): void => {
    koa.append('Set-Cookie', header(use, value, use.maxAgeSeconds))
  }

  const clear = (koa: Context, use: CookieUse): void => {
    koa.append('Set-Cookie', header(use, '', 0))
  }

  return { read, write, clear, secure }
}

export const SESSION_COOKIE: CookieUse = { name: 'portico_session', sends: 'same-site' }
/** A week from the last use: the tabs that a browser restores on Monday all find Friday's, and none makes its own. */
const BROWSER_COOKIE: CookieUse = {
  name: 'portico_browser',
  sends: 'cross-site',
  maxAgeSeconds: 7 * 24 * 3600,
}

/**
 * A random value that names this browser: every sign-in begun here is bound to it, and our forms are. One for all tabs.
 * Written anew each time, so that it never expires between the start of a sign-in and its end.
 */
export const ensureBrowser = (jar: CookieJar, koa: Context): string => {
  const value = readBrowser(jar, koa) ?? randomToken()
  jar.write(koa, BROWSER_COOKIE, value)
  return value
}

export const readBrowser = (jar: CookieJar, koa: Context): string | undefined => {
  const value = jar.read(koa, BROWSER_COOKIE)
  return value !== undefined && /^[A-Za-z0-9_-]{43}$/.test(value) ? value : undefined
}
