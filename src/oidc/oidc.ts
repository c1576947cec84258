/**
 * The OIDC connection type: the relying-party side, on openid-client. Owns no table and keeps no truth; what it
 * remembers of an IdP (provider.ts) expires. Invariants: authorization code with PKCE S256, state and nonce, always;
 * an ID token with a verified signature of the one algorithm configured, always; the issuer is exactly the configured
 * one; the redirect URI is one per connection and comes from configuration.
 *
 * The way of a sign-in: `begin` (relying-party.ts, authorize) > the IdP > `finish` (relying-party.ts, redeem, then
 * id-token.ts) > identity.ts. Whatever fails becomes a reason in refusals.ts.
 */
import {
  type Callback,
  type ConnectionRecord,
  type ConnectionType,
  type OpenConnection,
  type OpenDeps,
  refusal,
} from '../connections/contract.ts'
import { OidcConfig } from './config.ts'
import { identityFrom } from './identity.ts'
import { discover, listed, providerOf, type Registration } from './provider.ts'
import { toRefusal } from './refusals.ts'
import { authorize, redeem } from './relying-party.ts'

const redirectUriOf = (baseUrl: string, id: string): string => `${baseUrl}/oidc/${id}/callback`

/** `form_post` answers in the body; a query beside it is not looked at. */
const parametersOf = ({ method, query, form }: Callback) => (method === 'POST' ? form : query)

const missing = (config: OidcConfig, secrets: Readonly<Record<string, string>>): string[] => {
  const needs: [unknown, string][] = [
    [config.issuer, 'the issuer of the IdP'],
    [config.clientId, 'the client ID that the IdP gave'],
    [secrets.clientSecret, 'the client secret that the IdP gave'],
  ]
  return needs.filter(([value]) => !value).map(([, words]) => words)
}

const registrationOf = ({ id, config, secrets }: ConnectionRecord<OidcConfig>): Registration => {
  const { issuer, clientId } = config
  const { clientSecret } = secrets
  if (!issuer || !clientId || !clientSecret) {
    throw refusal('idp_misconfigured', { fault: 'incomplete', missing: missing(config, secrets) })
  }
  return { connectionId: id, issuer, clientId, clientSecret, config }
}

const open = (record: ConnectionRecord<OidcConfig>, deps: OpenDeps): OpenConnection => {
  const redirectUri = redirectUriOf(record.baseUrl, record.id)
  const provide = async () => {
    const registration = registrationOf(record)
    return { registration, provider: await providerOf(registration, deps) }
  }
  return {
    begin: async (request) => {
      const { registration, provider } = await provide()
      return authorize(provider, registration, redirectUri, { request, now: deps.clock.now() })
    },
    flowId: (callback) => parametersOf(callback).state ?? null,
    finish: async ({ expects, now, ...callback }) => {
      const { registration, provider } = await provide()
      const parameters = parametersOf(callback)
      const claims = await redeem(provider, registration, redirectUri, { parameters, expects, now })
      return identityFrom(claims, registration.issuer)
    },
    test: async () => testIdp(registrationOf(record), deps),
  }
}

/** Past the cache: an admin who has just mended something wants to know about now. */
const testIdp = async (registration: Registration, { fetch }: OpenDeps): Promise<void> => {
  const { metadata } = await discover(registration, fetch)
  const { idTokenAlgorithm } = registration.config
  const offered = listed(metadata.id_token_signing_alg_values_supported)
  if (offered && !offered.includes(idTokenAlgorithm)) {
    throw refusal('idp_misconfigured', {
      fault: 'id_token_algorithm',
      expected: idTokenAlgorithm,
      received: offered.slice(0, 10),
    })
  }
  const keys = await fetch(String(metadata.jwks_uri)).catch((error: unknown) => {
    throw toRefusal(error)
  })
  if (!keys.ok) throw refusal('idp_misconfigured', { fault: 'jwks', status: keys.status })
}

export const oidcConnection: ConnectionType<OidcConfig> = {
  type: 'oidc',
  label: 'OpenID Connect',
  callback: { path: 'callback', methods: ['GET', 'POST'] },
  config: OidcConfig,
  secretFields: ['clientSecret'],
  draft: async () => ({ config: OidcConfig.parse({}), secrets: {} }),
  missing,
  urls: (baseUrl, id) => ({ redirectUri: redirectUriOf(baseUrl, id) }),
  open,
}
