import {
  allowInsecureRequests,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  type CustomFetch,
  clockSkew,
  clockTolerance,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  type ServerMetadata,
} from 'openid-client'
import { type OutboundFetch, refusal } from '../connections/contract.ts'
import { addSeconds, type Clock } from '../core/clock.ts'
import { sha256 } from '../crypto/hash.ts'
import type { OidcConfig } from './config.ts'
import { isLoopbackHttp } from './issuer.ts'
import { toRefusal } from './refusals.ts'

/** Seconds that the IdP's clock may differ from ours. */
export const CLOCK_TOLERANCE = 60

const TTL_SECONDS = 600
const MOST_CONNECTIONS = 5_000

/** What a connection needs before it can speak to its IdP. */
export type Registration = {
  connectionId: string
  issuer: string
  clientId: string
  clientSecret: string
  config: OidcConfig
}

/** The IdP of one connection, as discovered. */
export type Provider = {
  metadata: ServerMetadata
  /** openid-client's view of it, with its idea of the time set to `now`. */
  at: (now: Date) => Configuration
}

type Entry = { fingerprint: string; until: Date; provider: Promise<Provider> }

/**
 * Discovered providers, by connection. A connection is opened anew for each request from its row, so a cache inside
 * `open` would be empty every time; hence one for the process. It hangs on the injected fetch, because what one
 * outbound policy let in must not serve another, and is keyed by connection, never by issuer: two organisations with
 * the same issuer share nothing. A changed setting or secret has another fingerprint and replaces the entry at once.
 * Nothing in here is truth: it is all fetched again after its TTL.
 */
const caches = new WeakMap<OutboundFetch, Map<string, Entry>>()

const fingerprintOf = ({ config, clientSecret }: Registration): string =>
  sha256(JSON.stringify([config, clientSecret])).toString('base64url')

/** The connection's provider, from the cache or by discovery; callers at the same time share one discovery. */
export const providerOf = (
  registration: Registration,
  { fetch, clock }: { fetch: OutboundFetch; clock: Clock },
): Promise<Provider> => {
  const cache = caches.get(fetch) ?? new Map<string, Entry>()
  caches.set(fetch, cache)
  const { connectionId } = registration
  const fingerprint = fingerprintOf(registration)
  const now = clock.now()
  const kept = cache.get(connectionId)
  if (kept?.fingerprint === fingerprint && kept.until > now) return kept.provider

  const provider = discover(registration, fetch)
  const entry = { fingerprint, until: addSeconds(now, TTL_SECONDS), provider }
  cache.delete(connectionId)
  cache.set(connectionId, entry)
  evictOldest(cache)
  // A failure is shared by those who waited for it, and forgotten.
  provider.catch(() => {
    if (cache.get(connectionId) === entry) cache.delete(connectionId)
  })
  return provider
}

const evictOldest = (cache: Map<string, Entry>): void => {
  const [oldest] = cache.keys()
  if (cache.size > MOST_CONNECTIONS && oldest !== undefined) cache.delete(oldest)
}

/** @throws AppError made by `refusal`: unreachable, or not the IdP that was configured */
export const discover = async (registration: Registration, fetch: OutboundFetch): Promise<Provider> => {
  const { issuer, clientId } = registration
  const outbound: CustomFetch = (url, { method, headers, body, signal }) =>
    fetch(url, {
      method,
      headers,
      body: (body ?? null) as NonNullable<RequestInit['body']> | null,
      signal: signal ?? null,
    })
  const insecure = isLoopbackHttp(issuer) ? [allowInsecureRequests] : []
  const found = await discovery(new URL(issuer), clientId, undefined, undefined, {
    [customFetch]: outbound,
    execute: insecure,
  }).catch((error: unknown) => {
    throw toRefusal(error)
  })
  const metadata = found.serverMetadata()
  checkMetadata(metadata, issuer)
  return { metadata, at: configurations(registration, metadata, outbound, insecure) }
}

const NEEDED = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const

const checkMetadata = (metadata: ServerMetadata, issuer: string): void => {
  // openid-client compares parsed URLs, and lets Entra and B2C answer for any tenant: this is the comparison that
  // counts (OpenID Connect Discovery section 4.3: exactly equal).
  if (metadata.issuer !== issuer) {
    const detail = { fault: 'discovery_issuer', expected: issuer, received: metadata.issuer.slice(0, 300) }
    throw refusal('idp_misconfigured', detail)
  }
  const absent = NEEDED.filter((name) => typeof metadata[name] !== 'string')
  if (absent.length > 0) throw refusal('idp_misconfigured', { fault: 'discovery_incomplete', absent })
}

/** A list of the metadata, which is the IdP's word and may be anything; undefined: it does not say. */
export const listed = (value: unknown): string[] | undefined =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'string') : undefined

/** Basic is what every OAuth server must take (RFC 6749 section 2.3.1), so it is used unless the IdP names only post. */
const clientAuthOf = ({ config, clientSecret }: Registration, metadata: ServerMetadata): ClientAuth => {
  const offered = listed(metadata.token_endpoint_auth_methods_supported) ?? ['client_secret_basic']
  const method =
    config.clientAuthentication ??
    (['client_secret_basic', 'client_secret_post'] as const).find((known) => offered.includes(known))
  if (method === 'client_secret_basic') return ClientSecretBasic(clientSecret)
  if (method === 'client_secret_post') return ClientSecretPost(clientSecret)
  throw refusal('idp_misconfigured', { fault: 'client_authentication', offered: offered.slice(0, 10) })
}

/**
 * openid-client reads the system clock; a Configuration carries our clock's distance from it. In production that is
 * nothing, and one Configuration, which also holds the fetched keys, serves for the whole TTL.
 */
const configurations = (
  registration: Registration,
  metadata: ServerMetadata,
  outbound: CustomFetch,
  insecure: (typeof allowInsecureRequests)[],
) => {
  const clientAuth = clientAuthOf(registration, metadata)
  let kept: { skew: number; configuration: Configuration } | undefined
  return (now: Date): Configuration => {
    const distance = Math.round((now.getTime() - Date.now()) / 1000)
    const skew = Math.abs(distance) <= 1 ? 0 : distance
    if (kept?.skew === skew) return kept.configuration
    const client = {
      // Without this any algorithm that the metadata advertises would do, `none` and HS256 among them.
      id_token_signed_response_alg: registration.config.idTokenAlgorithm,
      [clockSkew]: skew,
      [clockTolerance]: CLOCK_TOLERANCE,
    }
    const configuration = new Configuration(metadata, registration.clientId, client, clientAuth)
    configuration[customFetch] = outbound
    // Without this the signature of an ID token from the token endpoint is not looked at.
    enableNonRepudiationChecks(configuration)
    for (const extension of insecure) extension(configuration)
    kept = { skew, configuration }
    return configuration
  }
}
