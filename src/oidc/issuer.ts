/** Microsoft's login hosts, worldwide and national clouds. */
const ENTRA_HOSTS = new Set([
  'login.microsoftonline.com',
  'login.microsoftonline.us',
  'login.partner.microsoftonline.cn',
])

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const LOOPBACK = /^(localhost|(.+\.)localhost|127(\.\d{1,3}){3}|\[::1\])$/

const parse = (issuer: string): URL | null => (URL.canParse(issuer) ? new URL(issuer) : null)

/** Plain http is for a development IdP on this machine; whether it is called is decided by the injected fetch. */
export const isLoopbackHttp = (issuer: string): boolean => {
  const url = parse(issuer)
  return url?.protocol === 'http:' && LOOPBACK.test(url.hostname)
}

/**
 * The tenant that an Entra issuer is pinned to; null: not Entra. The issuers `common`, `organizations` and
 * `consumers` admit every tenant in the world, and openid-client fills their template from the token's own `tid`, so
 * an Entra issuer without a tenant is refused before it gets that far.
 */
export const entraTenant = (issuer: string): string | null => {
  const url = parse(issuer)
  if (!url || !ENTRA_HOSTS.has(url.hostname)) return null
  const match = /^\/([^/]+)\/v2\.0$/.exec(url.pathname)
  return match?.[1] !== undefined && UUID.test(match[1]) ? match[1] : null
}

const sentenceOnHost = (url: URL): string | null => {
  if (url.hostname === 'sts.windows.net') {
    return 'Use the v2.0 issuer of Entra ID: https://login.microsoftonline.com/<tenant ID>/v2.0.'
  }
  if (ENTRA_HOSTS.has(url.hostname) && entraTenant(url.href) === null) {
    return `Entra ID must be pinned to one tenant: https://${url.hostname}/<tenant ID>/v2.0, with the tenant's ID in lower case (not common, organizations or a domain name).`
  }
  return null
}

/** What is wrong with an issuer identifier, in one sentence; null: nothing. */
export const sentenceOnIssuer = (issuer: string): string | null => {
  const url = parse(issuer)
  if (!url) return 'The issuer must be a URL such as https://idp.example.com.'
  if (url.protocol !== 'https:' && !isLoopbackHttp(issuer)) return 'The issuer must begin with https://.'
  // OpenID Connect Discovery section 2: no query and no fragment. Credentials in a URL would reach logs.
  if (url.search || url.hash || url.username || url.password || /[?#{}\s]/.test(issuer)) {
    return 'The issuer must be a plain URL without a query, a fragment, a template or credentials.'
  }
  // openid-client skips its own comparison of the issuer for such a URL.
  if (url.pathname.includes('/.well-known/')) {
    return 'Give the issuer itself: the address before /.well-known/openid-configuration.'
  }
  return sentenceOnHost(url)
}
