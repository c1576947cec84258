/**
 * The demo app's OAuth half: how a platform service signs people in through the broker, with fetch and jose and
 * nothing of the broker's. Authorization code with PKCE (RFC 7636), nonce, `iss` (RFC 9207), RFC 9068 access tokens.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createRemoteJWKSet, type JWTPayload } from 'jose'
import { AppError } from '../core/errors.ts'
import { createTokenVerifier } from './token-verifier.ts'

export type DemoClient = {
  /** The broker's base URL, exactly as its tokens name it. */
  issuer: string
  clientId: string
  clientSecret: string
  /** The `aud` of access tokens for this app. Default: the client ID. */
  audience?: string
  /** Default: `openid profile email offline_access`; without the last there is no refresh token. */
  scope?: string
}

export type Tokens = { accessToken: string; idToken: string; refreshToken: string | undefined }

/** What must come back with the code, and is known to the browser that left only. */
export type Departure = { state: string; nonce: string; codeVerifier: string }

export type SignedIn = { tokens: Tokens; access: JWTPayload; id: JWTPayload }

type Metadata = {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  jwks_uri: string
  end_session_endpoint?: string
  authorization_response_iss_parameter_supported?: boolean
}

const refused = (code: string, sentence: string, cause?: unknown): AppError =>
  new AppError('upstream', code, sentence, { cause })

const secret = (): string => randomBytes(32).toString('base64url')

/** RFC 6749 section 2.3.1: both halves are form-encoded before they are joined. */
const basicAuthorization = ({ clientId, clientSecret }: DemoClient): string => {
  const encode = (text: string) => new URLSearchParams([['', text]]).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`
}

const discover = async (issuer: string): Promise<Metadata> => {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`).catch((cause) => {
    throw refused('broker_unreachable', `Nothing answers at ${issuer}.`, cause)
  })
  if (!response.ok) throw refused('broker_unreachable', `${issuer} has no discovery document.`)
  const metadata = (await response.json()) as Metadata
  if (metadata.issuer !== issuer) {
    throw refused('issuer_mismatch', 'The discovery document speaks for another issuer.')
  }
  return metadata
}

/** @param redirectUri where the broker sends the browser back to */
export const createRelyingParty = (client: DemoClient, redirectUri: string) => {
  let known: Promise<{ metadata: Metadata; keys: ReturnType<typeof createRemoteJWKSet> }> | undefined

  /** Asked once; a failure is not remembered. */
  const broker = () => {
    known ??= discover(client.issuer)
      .then((metadata) => ({ metadata, keys: createRemoteJWKSet(new URL(metadata.jwks_uri)) }))
      .catch((error) => {
        known = undefined
        throw error
      })
    return known
  }

  const tokens = createTokenVerifier(client, () => broker().then(({ keys }) => keys))

  /** @throws AppError `unauthenticated`: the broker's own refusal, its `error` as the code */
  const requestTokens = async (form: Readonly<Record<string, string>>): Promise<Partial<Tokens>> => {
    const { metadata } = await broker()
    const response = await fetch(metadata.token_endpoint, {
      method: 'POST',
      headers: { authorization: basicAuthorization(client) },
      body: new URLSearchParams(form),
      redirect: 'error',
    }).catch((cause) => {
      throw refused('broker_unreachable', 'The token endpoint does not answer.', cause)
    })
    const body = (await response.json().catch(() => ({}))) as Record<string, unknown>
    if (!response.ok) {
      const code = typeof body.error === 'string' ? body.error : 'server_error'
      throw new AppError('unauthenticated', code, `The broker refused to issue a token (${code}).`)
    }
    const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
    const [accessToken, idToken] = [text(body.access_token), text(body.id_token)]
    const refreshToken = text(body.refresh_token)
    return {
      ...(accessToken === undefined ? {} : { accessToken }),
      ...(idToken === undefined ? {} : { idToken }),
      ...(refreshToken === undefined ? {} : { refreshToken }),
    }
  }

  const begin = async (
    hints: Readonly<Record<string, string>>,
  ): Promise<{ to: string; departure: Departure }> => {
    const { metadata } = await broker()
    const departure = { state: secret(), nonce: secret(), codeVerifier: secret() }
    const to = new URL(metadata.authorization_endpoint)
    to.search = new URLSearchParams({
      ...hints,
      response_type: 'code',
      client_id: client.clientId,
      redirect_uri: redirectUri,
      scope: client.scope ?? 'openid profile email offline_access',
      state: departure.state,
      nonce: departure.nonce,
      code_challenge: createHash('sha256').update(departure.codeVerifier).digest('base64url'),
      code_challenge_method: 'S256',
    }).toString()
    return { to: to.href, departure }
  }

  /** The callback; the caller has matched `state`. @throws AppError `upstream`, `unauthenticated` */
  const finish = async (query: Readonly<Record<string, string>>, departure: Departure): Promise<SignedIn> => {
    const { metadata } = await broker()
    const issRequired = metadata.authorization_response_iss_parameter_supported === true
    if ((issRequired || query.iss !== undefined) && query.iss !== client.issuer) {
      throw refused('issuer_mismatch', 'The answer came from another issuer.')
    }
    if (!query.code) throw refused('code_missing', `The broker sent no code (${query.error ?? 'no reason'}).`)
    const { accessToken, idToken, refreshToken } = await requestTokens({
      grant_type: 'authorization_code',
      code: query.code,
      redirect_uri: redirectUri,
      code_verifier: departure.codeVerifier,
    })
    if (!accessToken || !idToken) throw refused('tokens_missing', 'The broker sent no tokens.')
    const id = await tokens.verifyIdToken(idToken, departure.nonce)
    const access = await tokens.verifyAccessToken(accessToken)
    if (access.sub !== id.sub) throw refused('id_token_refused', 'The two tokens name different people.')
    return { tokens: { accessToken, idToken, refreshToken }, access, id }
  }

  /** Swaps the refresh token for the next one. @throws AppError `upstream`, `unauthenticated` */
  const refresh = async (before: SignedIn): Promise<SignedIn> => {
    const { refreshToken: spent } = before.tokens
    if (!spent) throw refused('refresh_token_missing', 'The broker gave no refresh token.')
    const next = await requestTokens({ grant_type: 'refresh_token', refresh_token: spent })
    if (!next.accessToken) throw refused('tokens_missing', 'The broker sent no access token.')
    const access = await tokens.verifyAccessToken(next.accessToken)
    const id = next.idToken ? await tokens.verifyIdToken(next.idToken, undefined) : before.id
    if (access.sub !== before.access.sub || id.sub !== access.sub) {
      throw refused('access_token_refused', 'The new token names somebody else.')
    }
    return {
      tokens: {
        accessToken: next.accessToken,
        idToken: next.idToken ?? before.tokens.idToken,
        refreshToken: next.refreshToken ?? spent,
      },
      access,
      id,
    }
  }

  /** Where signing out goes on (RP-initiated logout); null: the broker offers none. */
  const endSessionUrl = async (idToken: string): Promise<string | null> => {
    const { metadata } = await broker()
    if (!metadata.end_session_endpoint) return null
    const to = new URL(metadata.end_session_endpoint)
    to.search = new URLSearchParams({ id_token_hint: idToken, client_id: client.clientId }).toString()
    return to.href
  }

  return { begin, finish, refresh, verifyAccessToken: tokens.verifyAccessToken, endSessionUrl }
}

export type RelyingParty = ReturnType<typeof createRelyingParty>
