/** How a platform service trusts the broker's tokens: jose, the broker's public keys, and every check named. */
import { type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { AppError } from '../core/errors.ts'

const ACCESS_CLAIMS = ['sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'org_id', 'roles', 'epoch']

const refused = (code: string, sentence: string, cause?: unknown): AppError =>
  new AppError('upstream', code, sentence, { cause })

/** @param loadKeys the broker's JWKS, remote and cached by jose */
export const createTokenVerifier = (
  client: { issuer: string; clientId: string; audience?: string },
  loadKeys: () => Promise<JWTVerifyGetKey>,
) => {
  /** RFC 9068 section 4; `typ` keeps ID tokens out, which the same keys sign. @throws AppError `upstream` */
  const verifyAccessToken = async (token: string): Promise<JWTPayload> => {
    const keys = await loadKeys()
    const { payload } = await jwtVerify(token, keys, {
      typ: 'at+jwt',
      algorithms: ['ES256'],
      issuer: client.issuer,
      audience: client.audience ?? client.clientId,
      requiredClaims: ACCESS_CLAIMS,
    }).catch((cause) => {
      throw refused('access_token_refused', 'The access token does not hold.', cause)
    })
    return payload
  }

  const verifyIdToken = async (token: string, nonce: string | undefined): Promise<JWTPayload> => {
    const keys = await loadKeys()
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ['ES256'],
      issuer: client.issuer,
      audience: client.clientId,
      requiredClaims: ['sub', 'iat', 'exp'],
    }).catch((cause) => {
      throw refused('id_token_refused', 'The ID token does not hold.', cause)
    })
    // An access token is signed by the same keys: it must not pass for an ID token.
    if (payload.client_id !== undefined || (nonce !== undefined && payload.nonce !== nonce)) {
      throw refused('id_token_refused', 'The ID token was not made for this sign-in.')
    }
    return payload
  }

  return { verifyAccessToken, verifyIdToken }
}
