import { createLocalJWKSet, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { type Clock, toSeconds } from '../core/clock.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { parseId, toId } from '../core/ids.ts'
import { randomToken } from '../crypto/hash.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { SIGNING_ALGORITHM, type SigningKeys } from './signing-keys.ts'
import { findActiveUser, type TokenUser } from './token-user.repo.ts'

export const ACCESS_TOKEN_LIFETIME_SECONDS = 300

/** What both tokens say about the sign-in. */
export type TokenSubject = {
  orgId: string
  sessionId: string
  clientId: string
  user: TokenUser
  roles: readonly string[]
  acr: string | null
  amr: readonly string[]
  authTime: Date
}

export type AccessTokenRequest = TokenSubject & { audience: string; scope: string }

export type IdTokenRequest = TokenSubject & { nonce: string | null; scope: string }

/** Whose session an ID token speaks of. UUIDs. */
export type HintedSession = { orgId: string; userId: string; sessionId: string; clientId: string }

export type TokenIssuer = ReturnType<typeof createTokenIssuer>

const shared = (subject: TokenSubject) => ({
  sid: toId('ses', subject.sessionId),
  org_id: toId('org', subject.orgId),
  ...(subject.acr === null ? {} : { acr: subject.acr }),
  amr: subject.amr,
  auth_time: toSeconds(subject.authTime),
})

/** OpenID Connect Core section 5.4: which claims a scope asks for. */
export const profileClaims = (user: TokenUser, scope: string): Record<string, unknown> => {
  const scopes = scope.split(' ')
  return {
    ...(scopes.includes('email') && user.email !== null
      ? { email: user.email, email_verified: user.emailVerified }
      : {}),
    ...(scopes.includes('profile')
      ? {
          preferred_username: user.userName,
          ...(user.displayName === null ? {} : { name: user.displayName }),
          ...(user.givenName === null ? {} : { given_name: user.givenName }),
          ...(user.familyName === null ? {} : { family_name: user.familyName }),
        }
      : {}),
  }
}

const invalidToken = (): AppError =>
  new AppError(
    'unauthenticated',
    'invalid_token',
    'The access token is not valid: unknown, expired or revoked.',
  )

export const createTokenIssuer = ({
  keys,
  sessions,
  clock,
  issuer,
}: {
  keys: SigningKeys
  sessions: Sessions
  clock: Clock
  issuer: string
}) => {
  const sign = async (
    ctx: Ctx,
    typ: string,
    claims: Record<string, unknown>,
    audience: string,
  ): Promise<string> => {
    const { kid, privateKey } = await keys.current(ctx)
    const now = toSeconds(clock.now())
    return new SignJWT(claims)
      .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ, kid })
      .setIssuer(issuer)
      .setAudience(audience)
      .setIssuedAt(now)
      .setExpirationTime(now + ACCESS_TOKEN_LIFETIME_SECONDS)
      .sign(privateKey)
  }

  /** RFC 9068. `epoch` is the user's revocation counter: never compare `iat`, whose grain is a second. */
  const accessToken = (ctx: Ctx, request: AccessTokenRequest): Promise<string> =>
    sign(
      ctx,
      'at+jwt',
      {
        ...shared(request),
        sub: toId('usr', request.user.id),
        client_id: toId('cli', request.clientId),
        jti: randomToken(16),
        roles: request.roles,
        scope: request.scope,
        epoch: request.user.epoch,
      },
      request.audience,
    )

  /** OpenID Connect Core section 2. */
  const idToken = (ctx: Ctx, request: IdTokenRequest): Promise<string> =>
    sign(
      ctx,
      'JWT',
      {
        ...shared(request),
        ...profileClaims(request.user, request.scope),
        sub: toId('usr', request.user.id),
        ...(request.nonce === null ? {} : { nonce: request.nonce }),
      },
      toId('cli', request.clientId),
    )

  /** The claims of a token of ours, of that type and for that instant; null where it is not one. */
  const verified = async (
    ctx: Ctx,
    token: string,
    { typ, at, requiredClaims }: { typ: string; at: Date; requiredClaims: string[] },
  ): Promise<JWTPayload | null> => {
    // Outside of the try: a database that does not answer says nothing about the token.
    const published = createLocalJWKSet(await keys.publicKeys(ctx))
    try {
      const { payload } = await jwtVerify(token, published, {
        issuer,
        typ,
        algorithms: [SIGNING_ALGORITHM],
        currentDate: at,
        requiredClaims,
      })
      return payload
    } catch {
      return null
    }
  }

  /**
   * Verifies an access token of ours, then asks the database whether its session and user still stand.
   * @param audienceOf the audience that the named client's tokens must carry
   * @throws AppError `unauthenticated`/`invalid_token`
   */
  const introspect = async (
    ctx: Ctx,
    token: string,
    audienceOf: (clientId: string) => Promise<string | undefined>,
  ): Promise<{ ctx: OrgCtx; user: TokenUser; scope: string; sessionId: string }> => {
    const claims = await verified(ctx, token, {
      typ: 'at+jwt',
      at: clock.now(),
      requiredClaims: ['sub', 'aud', 'exp', 'iat', 'sid', 'org_id'],
    })
    if (claims === null) throw invalidToken()
    const orgId = parseId('org', String(claims.org_id))
    const userId = parseId('usr', String(claims.sub))
    const sessionId = parseId('ses', String(claims.sid))
    const clientId = parseId('cli', String(claims.client_id))
    if (orgId === null || userId === null || sessionId === null || clientId === null) throw invalidToken()
    if (claims.aud !== (await audienceOf(clientId))) throw invalidToken()
    const orgCtx = { ...forOrg(ctx, orgId), actor: { type: 'user', id: userId } as const }
    const user = await inTx(orgCtx, async (tx) => {
      const session = await sessions.findLive(tx, sessionId)
      return session?.userId === userId ? findActiveUser(tx, userId) : undefined
    })
    if (!user || user.epoch !== claims.epoch) throw invalidToken()
    return { ctx: orgCtx, user, scope: String(claims.scope ?? ''), sessionId }
  }

  /** The session an ID token of ours belongs to, for RP-initiated logout; expired ones count (section 2 there). */
  const sessionOfIdToken = async (ctx: Ctx, token: string): Promise<HintedSession | null> => {
    const claims = await verified(ctx, token, {
      typ: 'JWT',
      at: new Date(0),
      requiredClaims: ['sub', 'sid', 'org_id', 'aud'],
    })
    if (claims === null) return null
    const orgId = parseId('org', String(claims.org_id))
    const userId = parseId('usr', String(claims.sub))
    const sessionId = parseId('ses', String(claims.sid))
    const clientId = typeof claims.aud === 'string' ? parseId('cli', claims.aud) : null
    return orgId && userId && sessionId && clientId ? { orgId, userId, sessionId, clientId } : null
  }

  return { accessToken, idToken, introspect, sessionOfIdToken }
}
