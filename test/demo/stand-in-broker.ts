import { createHash, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import { listenLocally } from '../../src/demo/peers.ts'

/** What a test makes the stand-in do wrong. */
export type Faults = {
  accessHeader?: Partial<JWTHeaderParameters>
  access?: JWTPayload
  id?: JWTPayload
  /** The `iss` parameter of the authorization response. */
  responseIssuer?: string
  /** Instead of a code or a token. */
  authorizeError?: string
  tokenError?: string
  strangeKey?: boolean
}

export type StandInBroker = {
  issuer: string
  faults: Faults
  /** Forms that reached the token endpoint, with the Authorization header. */
  tokenRequests: { form: Record<string, string>; authorization: string | undefined }[]
  close: () => Promise<void>
}

const CLIENT = { id: 'cli_demo', secret: 'a secret: of & odd signs' }

const expectedAuthorization = `Basic ${Buffer.from(
  [CLIENT.id, CLIENT.secret].map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join(':'),
).toString('base64')}`

const read = async (request: IncomingMessage): Promise<Record<string, string>> => {
  let body = ''
  for await (const chunk of request) body += chunk
  return Object.fromEntries(new URLSearchParams(body))
}

/** As much of the broker's OAuth surface as the demo app touches; signs everybody in as Ada at once. */
export const startStandInBroker = async (): Promise<StandInBroker> => {
  const server = await listenLocally()
  const issuer = server.origin
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const stranger = await generateKeyPair('ES256')
  const departures = new Map<string, URLSearchParams>()
  const broker: StandInBroker = { issuer, faults: {}, tokenRequests: [], close: server.close }

  const sign = (typ: string, claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}) =>
    new SignJWT({ iss: issuer, sub: 'usr_ada', exp: Math.floor(Date.now() / 1000) + 300, ...claims })
      .setIssuedAt()
      .setProtectedHeader({ alg: 'ES256', typ, kid: 'one', ...header })
      .sign(broker.faults.strangeKey ? stranger.privateKey : privateKey)

  const accessToken = () =>
    sign(
      'at+jwt',
      {
        aud: 'https://app.portico.test',
        client_id: CLIENT.id,
        jti: randomUUID(),
        sid: 'ses_1',
        org_id: 'org_acme',
        roles: ['member', '<i>admin</i>'],
        epoch: 1,
        amr: ['pwd'],
        ...broker.faults.access,
      },
      broker.faults.accessHeader,
    )
  const idToken = (nonce: string | null) =>
    sign('JWT', { aud: CLIENT.id, nonce, name: 'Ada Lovelace', email: 'ada@acme.test', ...broker.faults.id })

  const authorize = (query: URLSearchParams): string => {
    const back = new URL(query.get('redirect_uri') ?? '')
    back.searchParams.set('state', query.get('state') ?? '')
    back.searchParams.set('iss', broker.faults.responseIssuer ?? issuer)
    if (broker.faults.authorizeError) back.searchParams.set('error', broker.faults.authorizeError)
    else {
      const code = randomUUID()
      departures.set(code, query)
      back.searchParams.set('code', code)
    }
    return back.href
  }

  const redeem = async (form: Record<string, string>): Promise<Record<string, string> | null> => {
    if (broker.faults.tokenError) return null
    if (form.grant_type === 'refresh_token') {
      return { access_token: await accessToken(), refresh_token: randomUUID() }
    }
    const departure = departures.get(form.code ?? '')
    departures.delete(form.code ?? '')
    const challenge = createHash('sha256')
      .update(form.code_verifier ?? '')
      .digest('base64url')
    if (departure?.get('code_challenge') !== challenge) return null
    if (departure.get('redirect_uri') !== form.redirect_uri) return null
    return {
      access_token: await accessToken(),
      id_token: await idToken(departure.get('nonce')),
      refresh_token: randomUUID(),
    }
  }

  const token = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { authorization } = request.headers
    const form = await read(request)
    broker.tokenRequests.push({ form, authorization })
    const answer = authorization === expectedAuthorization ? await redeem(form) : null
    response.writeHead(answer ? 200 : 400, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer ?? { error: broker.faults.tokenError ?? 'invalid_grant' }))
  }

  const metadata = {
    issuer,
    authorization_endpoint: `${issuer}/oauth2/authorize`,
    token_endpoint: `${issuer}/oauth2/token`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    end_session_endpoint: `${issuer}/oauth2/logout`,
    authorization_response_iss_parameter_supported: true,
  }
  const keys = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', use: 'sig', kid: 'one' }] }
  server.handle(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', issuer)
    if (pathname === '/oauth2/token') return token(request, response)
    if (pathname === '/oauth2/authorize') {
      return response.writeHead(303, { location: authorize(searchParams) }).end()
    }
    const json: unknown =
      pathname === '/.well-known/openid-configuration'
        ? metadata
        : pathname === '/.well-known/jwks.json'
          ? keys
          : { path: pathname, query: Object.fromEntries(searchParams) }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  })
  return broker
}

/** How the demo app is registered there. */
export const standInClient = (broker: StandInBroker) => ({
  issuer: broker.issuer,
  clientId: CLIENT.id,
  clientSecret: CLIENT.secret,
  audience: 'https://app.portico.test',
})
