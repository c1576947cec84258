import type { Client } from '../clients/client.ts'
import type { Clients } from '../clients/clients.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { rolesOf } from '../directory/roles.ts'
import { ACCESS_TOKEN_LIFETIME_SECONDS, type TokenIssuer, type TokenSubject } from '../tokens/access-token.ts'
import type { Codes } from '../tokens/codes.ts'
import type { RefreshTokens } from '../tokens/refresh.ts'

type Parameters = Readonly<Record<string, string>>

/** RFC 6749 section 5.1. */
export type TokenResponse = {
  access_token: string
  token_type: 'Bearer'
  expires_in: number
  scope: string
  id_token: string
  refresh_token?: string
}

export type TokenEndpoint = ReturnType<typeof createTokenEndpoint>

const demand = (parameters: Parameters, name: string): string => {
  const value = parameters[name]
  if (value === undefined || value === '') {
    throw new AppError('invalid', 'invalid_request', `The parameter ${name} is missing.`)
  }
  return value
}

/** RFC 6749 section 2.3.1: both halves are form-urlencoded inside Basic. */
const basicCredentials = (authorization: string): { id: string; secret: string } | undefined => {
  const match = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)
  const [id, ...rest] = match?.[1] ? Buffer.from(match[1], 'base64').toString('utf8').split(':') : []
  if (id === undefined || rest.length === 0) return undefined
  try {
    const decode = (part: string) => decodeURIComponent(part.replaceAll('+', ' '))
    return { id: decode(id), secret: decode(rest.join(':')) }
  } catch {
    return undefined
  }
}

/**
 * What the request presents; empty where that cannot be read. One way only (RFC 6749 section 2.3): two sets of
 * credentials are two answers to who is asking.
 * @throws AppError `invalid`/`invalid_request`
 */
const presentedCredentials = (
  authorization: string,
  { client_id: id = '', client_secret: secret }: Parameters,
): { id: string; secret: string } => {
  if (authorization === '') return { id, secret: secret ?? '' }
  const basic = basicCredentials(authorization) ?? { id: '', secret: '' }
  if (secret !== undefined || (id !== '' && id !== basic.id)) {
    throw new AppError('invalid', 'invalid_request', 'The client authenticated in two ways at once.')
  }
  return basic
}

export const createTokenEndpoint = ({
  clients,
  codes,
  refreshTokens,
  issuer,
}: {
  clients: Clients
  codes: Codes
  refreshTokens: RefreshTokens
  issuer: TokenIssuer
}) => {
  /** @throws AppError `unauthenticated`/`invalid_client` */
  const authenticate = (ctx: Ctx, authorization: string, parameters: Parameters): Promise<Client> => {
    const { id, secret } = presentedCredentials(authorization, parameters)
    return clients.authenticate(ctx, id, secret)
  }

  const respond = async (
    ctx: OrgCtx,
    client: Client,
    subject: TokenSubject,
    grant: { scope: string; nonce: string | null; refreshToken: string | undefined },
  ): Promise<TokenResponse> => {
    const [accessToken, idToken] = await Promise.all([
      issuer.accessToken(ctx, { ...subject, audience: client.audience, scope: grant.scope }),
      issuer.idToken(ctx, { ...subject, nonce: grant.nonce, scope: grant.scope }),
    ])
    return {
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: ACCESS_TOKEN_LIFETIME_SECONDS,
      scope: grant.scope,
      id_token: idToken,
      ...(grant.refreshToken === undefined ? {} : { refresh_token: grant.refreshToken }),
    }
  }

  const redeemCode = async (ctx: Ctx, client: Client, parameters: Parameters): Promise<TokenResponse> => {
    const grant = await codes.redeem(ctx, demand(parameters, 'code'), {
      clientId: client.id,
      redirectUri: demand(parameters, 'redirect_uri'),
      codeVerifier: demand(parameters, 'code_verifier'),
    })
    const { session, user } = grant
    const subject: TokenSubject = {
      orgId: grant.ctx.orgId,
      sessionId: session.id,
      clientId: client.id,
      user,
      roles: rolesOf(user),
      acr: session.acr,
      amr: session.amr,
      authTime: session.authTime,
    }
    return respond(grant.ctx, client, subject, grant)
  }

  const refresh = async (ctx: Ctx, client: Client, parameters: Parameters): Promise<TokenResponse> => {
    const grant = await refreshTokens.rotate(ctx, demand(parameters, 'refresh_token'), client.id)
    const { user } = grant
    const subject: TokenSubject = {
      orgId: grant.ctx.orgId,
      sessionId: grant.sessionId,
      clientId: client.id,
      user,
      roles: rolesOf(user),
      acr: grant.acr,
      amr: grant.amr,
      authTime: grant.authTime,
    }
    return respond(grant.ctx, client, subject, {
      scope: grant.scope,
      nonce: null,
      refreshToken: grant.refreshToken,
    })
  }

  const grants: Readonly<Record<string, typeof redeemCode>> = {
    authorization_code: redeemCode,
    refresh_token: refresh,
  }

  /** @throws AppError with a code of RFC 6749 section 5.2 */
  const handle = async (ctx: Ctx, authorization: string, parameters: Parameters): Promise<TokenResponse> => {
    const client = await authenticate(ctx, authorization, parameters)
    const grantType = demand(parameters, 'grant_type')
    const grant = Object.hasOwn(grants, grantType) ? grants[grantType] : undefined
    if (!grant)
      throw new AppError(
        'invalid',
        'unsupported_grant_type',
        'The grant types are authorization_code and refresh_token.',
      )
    return grant({ ...ctx, actor: { type: 'client', id: client.id } }, client, parameters)
  }

  return { handle }
}
