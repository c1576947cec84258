/** A browser's cookie store, as far as a sign-in needs one (RFC 6265bis); SameSite is not enforced. */
export type Cookie = {
  name: string
  value: string
  domain: string
  /** Set without a Domain attribute: sent to exactly this host. */
  hostOnly: boolean
  path: string
  secure: boolean
  httpOnly: boolean
  sameSite: string | undefined
  /** Milliseconds since the epoch; undefined: until the browser closes. */
  expires: number | undefined
}

export type CookieJar = {
  /** Keeps what a browser would keep of these Set-Cookie lines, and deletes what they expire. */
  store: (url: URL, setCookie: readonly string[]) => void
  /** The Cookie header for a request to `url`; undefined where there is nothing to send. */
  header: (url: URL) => string | undefined
  /** The cookies that a request to `url` would carry. */
  list: (url: URL) => Cookie[]
}

/** Chromium trusts localhost with Secure cookies over plain http; other plain hosts it does not. */
const isSecureContext = (url: URL): boolean =>
  url.protocol === 'https:' || url.hostname === 'localhost' || url.hostname.endsWith('.localhost')

const domainMatches = (host: string, domain: string): boolean =>
  host === domain || host.endsWith(`.${domain}`)

const pathMatches = (path: string, prefix: string): boolean =>
  path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)

const defaultPath = (url: URL): string => {
  const cut = url.pathname.lastIndexOf('/')
  return cut <= 0 ? '/' : url.pathname.slice(0, cut)
}

const splitPair = (part: string): [string, string] => {
  const at = part.indexOf('=')
  return at < 0 ? [part.trim(), ''] : [part.slice(0, at).trim(), part.slice(at + 1).trim()]
}

/** Max-Age wins over Expires (RFC 6265bis section 5.5). */
const expiry = (attributes: ReadonlyMap<string, string>, now: number): number | undefined => {
  const maxAge = attributes.get('max-age')
  if (maxAge !== undefined && /^-?\d+$/.test(maxAge)) return now + Number(maxAge) * 1000
  const at = Date.parse(attributes.get('expires') ?? '')
  return Number.isNaN(at) ? undefined : at
}

const parseSetCookie = (url: URL, line: string, now: number): Cookie => {
  const [pair = '', ...rest] = line.split(';')
  const [name, value] = splitPair(pair)
  const attributes = new Map(
    rest.map((part) => {
      const [key, text] = splitPair(part)
      return [key.toLowerCase(), text]
    }),
  )
  const domain = attributes.get('domain')?.replace(/^\./, '').toLowerCase() || undefined
  const path = attributes.get('path')
  return {
    name,
    value,
    domain: domain ?? url.hostname,
    hostOnly: domain === undefined,
    path: path?.startsWith('/') ? path : defaultPath(url),
    secure: attributes.has('secure'),
    httpOnly: attributes.has('httponly'),
    sameSite: attributes.get('samesite')?.toLowerCase(),
    expires: expiry(attributes, now),
  }
}

/** What a browser drops in silence: a prefix whose promise is not kept, a foreign Domain, Secure from a plain host. */
const isAcceptable = (cookie: Cookie, url: URL): boolean => {
  if (cookie.name === '' || !domainMatches(url.hostname, cookie.domain)) return false
  if (cookie.secure && !isSecureContext(url)) return false
  if (cookie.sameSite === 'none' && !cookie.secure) return false
  if (cookie.name.startsWith('__Secure-')) return cookie.secure
  if (cookie.name.startsWith('__Host-')) return cookie.secure && cookie.hostOnly && cookie.path === '/'
  return true
}

/** @param now milliseconds since the epoch; a test moves it */
export const createCookieJar = ({ now = Date.now }: { now?: () => number } = {}): CookieJar => {
  const cookies = new Map<string, Cookie>()

  const applies = (cookie: Cookie, url: URL): boolean =>
    (cookie.hostOnly ? url.hostname === cookie.domain : domainMatches(url.hostname, cookie.domain)) &&
    pathMatches(url.pathname, cookie.path) &&
    (!cookie.secure || isSecureContext(url)) &&
    (cookie.expires === undefined || cookie.expires > now())

  const list = (url: URL): Cookie[] =>
    [...cookies.values()]
      .filter((cookie) => applies(cookie, url))
      .sort((one, other) => other.path.length - one.path.length)

  return {
    store: (url, setCookie) => {
      for (const line of setCookie) {
        const cookie = parseSetCookie(url, line, now())
        if (!isAcceptable(cookie, url)) continue
        const key = `${cookie.domain}|${cookie.path}|${cookie.name}`
        if (cookie.expires !== undefined && cookie.expires <= now()) cookies.delete(key)
        else cookies.set(key, cookie)
      }
    },
    list,
    header: (url) => {
      const pairs = list(url).map(({ name, value }) => `${name}=${value}`)
      return pairs.length === 0 ? undefined : pairs.join('; ')
    },
  }
}
