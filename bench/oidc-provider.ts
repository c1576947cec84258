/**
 * oidc-provider as a server to be measured, with PKCE and rotating refresh tokens; its sign-in asks nobody. Clients are
 * static, so that finding one costs it no statement. Either as it comes (RS256 ID token, opaque access tokens, kept in
 * the database), or tuned to the choices Portico has made (ES256, JWT access tokens).
 */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import type { Configuration, Provider } from 'oidc-provider'
import type { AppClient } from './drivers/driver.ts'
import { createOidcStore } from './harness/oidc-store.ts'
import { loadPeer } from './harness/peers.ts'
import { answerAsServer } from './harness/probe.ts'

export type OidcProviderOptions = {
  peers: string
  port: number
  databaseUrl: string
  poolSize: number
  client: AppClient
  offline: boolean
  likePortico: boolean
}

const API = 'https://api.bench.example'
const SCOPE = 'openid profile email offline_access'

type Algorithm = 'ES256' | 'RS256'

const signingJwk = async (alg: Algorithm) => {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: 'bench' }
}

const jwtAccessTokens: NonNullable<Configuration['features']>['resourceIndicators'] = {
  enabled: true,
  defaultResource: () => API,
  useGrantedResource: () => true,
  getResourceServerInfo: () => ({
    scope: '',
    audience: API,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  }),
}

const openProvider = async (options: OidcProviderOptions): Promise<Provider> => {
  const { default: OidcProvider } = await loadPeer<typeof import('oidc-provider')>(
    options.peers,
    'oidc-provider',
  )
  const { default: pg } = await loadPeer<typeof import('pg')>(options.peers, 'pg')
  const algorithm = options.likePortico ? 'ES256' : 'RS256'
  const pool = new pg.Pool({ connectionString: options.databaseUrl, max: options.poolSize })
  return new OidcProvider(`http://127.0.0.1:${options.port}`, {
    adapter: await createOidcStore(pool),
    jwks: { keys: [await signingJwk(algorithm)] },
    clients: [
      {
        client_id: options.client.clientId,
        client_secret: options.client.clientSecret,
        redirect_uris: [options.client.redirectUri],
        response_types: ['code'],
        grant_types: options.offline ? ['authorization_code', 'refresh_token'] : ['authorization_code'],
        token_endpoint_auth_method: 'client_secret_post',
        id_token_signed_response_alg: algorithm,
      },
    ],
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    rotateRefreshToken: true,
    claims: {
      openid: ['sub'],
      profile: ['name', 'given_name', 'family_name'],
      email: ['email', 'email_verified'],
    },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: id, email: `${id}@bench.example`, email_verified: true }),
    }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: options.likePortico ? jwtAccessTokens : { enabled: false },
    },
    // Said out loud, so that the package does not warn about its defaults.
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      Grant: 43_200,
      IdToken: 300,
      Interaction: 3600,
      RefreshToken: 43_200,
      Session: 43_200,
    },
  })
}

const interact = async (provider: Provider, request: IncomingMessage, response: ServerResponse) => {
  const { params } = await provider.interactionDetails(request, response)
  const accountId = String(params.login_hint)
  const grant = new provider.Grant({ accountId, clientId: String(params.client_id) })
  grant.addOIDCScope(SCOPE)
  const grantId = await grant.save()
  await provider.interactionFinished(request, response, { login: { accountId }, consent: { grantId } })
}

const start = async (options: OidcProviderOptions): Promise<void> => {
  const provider = await openProvider(options)
  const handle = provider.callback()
  const server = createServer((request, response) => {
    if (!request.url?.startsWith('/interaction/')) return handle(request, response)
    interact(provider, request, response).catch((error: unknown) => {
      console.error(error)
      response.writeHead(500).end()
    })
  })
  server.keepAliveTimeout = 65_000
  await new Promise<void>((resolve) => server.listen(options.port, '127.0.0.1', resolve))
}

answerAsServer({ start })
