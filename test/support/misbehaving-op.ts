import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose'

/**
 * An OpenID provider that behaves, checking what a client owes it (client authentication, redirect URI, PKCE, a code
 * once), until a test bends one of its answers.
 */

export type Json = Record<string, unknown>

export type SigningKey = { kid: string; privateKey: CryptoKey; publicKey: CryptoKey; jwk: JWK }

export type Algorithm = 'RS256' | 'PS256' | 'ES256' | 'EdDSA'

/** What is changed; whatever is absent stays honest. */
export type Bend = {
  /** The algorithm that an honest token is signed with; RS256 unless told. */
  algorithm?: Algorithm
  discovery?: (document: Json) => Json
  jwks?: (keys: JWK[]) => unknown
  /** Of the redirect back to the client. */
  callback?: (parameters: URLSearchParams) => void
  claims?: (claims: Json) => Json
  header?: Partial<JWTHeaderParameters>
  /** Makes the ID token by itself. */
  idToken?: (claims: Json, key: SigningKey) => Promise<string> | string
  /** Of the token endpoint's answer. */
  token?: (answer: Json) => Json
  /** Takes an endpoint over. */
  discoveryEndpoint?: RequestListener
  tokenEndpoint?: RequestListener
  jwksEndpoint?: RequestListener
}

export type MisbehavingOp = Awaited<ReturnType<typeof startMisbehavingOp>>

const CLIENT = { id: 'portico-client', secret: 'a client secret: +/%&=' }

const SUBJECT = 'subject-1'

const seconds = (): number => Math.floor(Date.now() / 1000)

const makeKey = async (algorithm: Algorithm): Promise<SigningKey> => {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const kid = `${algorithm}-key`
  return {
    kid,
    privateKey,
    publicKey,
    jwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' },
  }
}

const send = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

const bodyOf = async (request: IncomingMessage): Promise<URLSearchParams> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return new URLSearchParams(Buffer.concat(chunks).toString())
}

/** Client ID and secret as RFC 6749 section 2.3.1 sends them: form-encoded inside Basic, or in the body. */
const presented = (request: IncomingMessage, body: URLSearchParams) => {
  const [scheme, value] = (request.headers.authorization ?? '').split(' ')
  if (scheme !== 'Basic')
    return { method: 'post', id: body.get('client_id'), secret: body.get('client_secret') }
  const [id, secret] = Buffer.from(value ?? '', 'base64')
    .toString()
    .split(':')
  const decode = (text = '') => decodeURIComponent(text.replaceAll('+', ' '))
  return { method: 'basic', id: decode(id), secret: decode(secret) }
}

/** For a bend: the same without one member. */
export const without =
  (name: string) =>
  (members: Json): Json => {
    const { [name]: _dropped, ...rest } = members
    return rest
  }

/** For a bend: an endpoint that always answers this. */
export const answering =
  (status: number, body: string, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  }

/** For a bend: an endpoint that ends the connection. */
export const hangingUp: RequestListener = (request) => {
  request.socket.destroy()
}

/** @param issuer what it says it is; its own address unless told */
export const startMisbehavingOp = async ({ issuer: claimed }: { issuer?: string } = {}) => {
  const keys = Object.fromEntries(
    await Promise.all(
      (['RS256', 'PS256', 'ES256', 'EdDSA'] as const).map(async (a) => [a, await makeKey(a)]),
    ),
  ) as Record<Algorithm, SigningKey>
  const codes = new Map<string, { parameters: URLSearchParams; state: string | null }>()
  const hits: Record<string, number> = {}
  const seen = { clientAuthentication: '', userAgents: new Set<string | undefined>() }
  let bend: Bend = {}
  let address = ''
  const issuerNow = () => claimed ?? address

  const discovery = (): Json => ({
    issuer: issuerNow(),
    authorization_endpoint: `${issuerNow()}/authorize`,
    token_endpoint: `${issuerNow()}/token`,
    jwks_uri: `${issuerNow()}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: Object.keys(keys),
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  })

  const authorize = (query: URLSearchParams, response: ServerResponse): void => {
    const code = randomBytes(16).toString('hex')
    codes.set(code, { parameters: query, state: query.get('state') })
    const back = new URL(query.get('redirect_uri') ?? '')
    back.searchParams.set('code', code)
    back.searchParams.set('state', query.get('state') ?? '')
    back.searchParams.set('iss', issuerNow())
    bend.callback?.(back.searchParams)
    response.writeHead(303, { location: back.href }).end()
  }

  const signed = async (claims: Json): Promise<string> => {
    const algorithm = bend.algorithm ?? 'RS256'
    const key = keys[algorithm]
    if (bend.idToken) return bend.idToken(claims, key)
    return new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, kid: key.kid, typ: 'JWT', ...bend.header })
      .sign(key.privateKey)
  }

  const claimsFor = (request: URLSearchParams, accessToken: string): Json => {
    const hash = createHash(bend.algorithm === 'EdDSA' ? 'sha512' : 'sha256')
      .update(accessToken)
      .digest()
    return {
      iss: issuerNow(),
      sub: SUBJECT,
      aud: CLIENT.id,
      iat: seconds(),
      exp: seconds() + 300,
      auth_time: seconds() - 5,
      nonce: request.get('nonce'),
      at_hash: hash.subarray(0, hash.length / 2).toString('base64url'),
      email: 'ada@example.test',
      email_verified: true,
    }
  }

  const token = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request)
    const client = presented(request, body)
    seen.clientAuthentication = client.method
    if (client.id !== CLIENT.id || client.secret !== CLIENT.secret) {
      return send(response, 401, { error: 'invalid_client' })
    }
    const code = body.get('code') ?? ''
    const granted = codes.get(code)?.parameters
    codes.delete(code)
    const challenge = createHash('sha256')
      .update(body.get('code_verifier') ?? '')
      .digest('base64url')
    const kept =
      granted?.get('redirect_uri') === body.get('redirect_uri') &&
      granted.get('code_challenge_method') === 'S256' &&
      granted.get('code_challenge') === challenge
    if (!granted || !kept) return send(response, 400, { error: 'invalid_grant' })
    const accessToken = randomBytes(16).toString('hex')
    const claims = claimsFor(granted, accessToken)
    const idToken = await signed(bend.claims?.(claims) ?? claims)
    const answer = { access_token: accessToken, token_type: 'Bearer', expires_in: 300, id_token: idToken }
    send(response, 200, bend.token?.(answer) ?? answer)
  }

  const published = (): unknown => {
    const all = Object.values(keys).map(({ jwk }) => jwk)
    return bend.jwks?.(all) ?? { keys: all }
  }

  const route = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', address)
    const path = claimed
      ? url.pathname.replace(new URL(claimed).pathname.replace(/\/$/, ''), '')
      : url.pathname
    hits[path] = (hits[path] ?? 0) + 1
    seen.userAgents.add(request.headers['user-agent'])
    const document = () => bend.discovery?.(discovery()) ?? discovery()
    if (path === '/.well-known/openid-configuration') {
      return bend.discoveryEndpoint?.(request, response) ?? send(response, 200, document())
    }
    if (path === '/authorize') return authorize(url.searchParams, response)
    if (path === '/token') return bend.tokenEndpoint?.(request, response) ?? token(request, response)
    if (path === '/jwks') return bend.jwksEndpoint?.(request, response) ?? send(response, 200, published())
    response.writeHead(404).end()
  }

  const server = createServer((request, response) => {
    route(request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    issuer: issuerNow(),
    /** Where it really listens. */
    address,
    client: CLIENT,
    subject: SUBJECT,
    keys,
    seen,
    /** Requests so far, by path. */
    hits: (path: string): number => hits[path] ?? 0,
    /** Replaces every earlier bend. */
    bend: (next: Bend): void => {
      bend = next
    },
    close: (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
