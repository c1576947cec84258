import { createHash } from 'node:crypto'
import type { IDToken } from 'openid-client'
import { refusal } from '../connections/contract.ts'
import { toSeconds } from '../core/clock.ts'
import type { OidcConfig } from './config.ts'
import { CLOCK_TOLERANCE } from './provider.ts'

/** Seconds. Entra ID dates its tokens five minutes back, so five would refuse every one of them. */
const OLDEST_ISSUE = 600

/** Seconds. IdPs give an ID token minutes to a working day; one that never ends would never be forgotten either. */
const LONGEST_LIFE = 86_400

type Checked = {
  claims: IDToken
  accessToken: string
  algorithm: OidcConfig['idTokenAlgorithm']
  clientId: string
  /** Seconds since the epoch; null: any authentication will do. */
  authenticatedSince: number | null
  now: Date
}

/** The hash that goes with the signature's algorithm (OpenID Connect Core section 3.1.3.6); Ed25519 has SHA-512 inside. */
const hashOf = (algorithm: Checked['algorithm']): string => (algorithm === 'EdDSA' ? 'sha512' : 'sha256')

const checkTimes = ({ iat, exp, auth_time }: IDToken, now: number, since: number | null): void => {
  const detail = { now, iat, exp }
  if (iat > now + CLOCK_TOLERANCE) throw refusal('not_yet_valid', { ...detail, claim: 'iat' })
  if (iat < now - OLDEST_ISSUE) throw refusal('token_stale', detail)
  if (exp > now + LONGEST_LIFE + CLOCK_TOLERANCE) throw refusal('lifetime_refused', detail)
  if (auth_time === undefined) return
  if (auth_time > now + CLOCK_TOLERANCE) throw refusal('not_yet_valid', { ...detail, claim: 'auth_time' })
  // `prompt=login` passes through the browser, where it can be taken out again.
  if (since !== null && auth_time < since - CLOCK_TOLERANCE) {
    throw refusal('authentication_stale', { now, auth_time, since })
  }
}

const checkAccessTokenHash = ({ claims, accessToken, algorithm }: Checked): void => {
  if (claims.at_hash === undefined) return
  const digest = createHash(hashOf(algorithm)).update(accessToken, 'ascii').digest()
  if (claims.at_hash !== digest.subarray(0, digest.length / 2).toString('base64url')) {
    throw refusal('token_hash_mismatch')
  }
}

/**
 * What openid-client leaves unchecked in an ID token whose signature, issuer, audience, nonce and expiry it has
 * verified.
 * @throws AppError made by `refusal`
 */
export const checkIdToken = (checked: Checked): void => {
  const { claims, clientId, authenticatedSince, now } = checked
  checkTimes(claims, toSeconds(now), authenticatedSince)
  // The library asks for azp only beside several audiences; where it is present it must be us.
  if (claims.azp !== undefined && claims.azp !== clientId) {
    throw refusal('authorized_party_mismatch', {
      expected: clientId,
      received: String(claims.azp).slice(0, 300),
    })
  }
  checkAccessTokenHash(checked)
}
