import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client'
import { type RefusalReason, refusal } from '../connections/contract.ts'
import { AppError } from '../core/errors.ts'
import type { OutboundCode } from '../net/outbound.ts'

/**
 * Every way in which openid-client (and the fetch beneath it) fails, and the reason it is for us. The errors
 * themselves are dropped here: their causes hold tokens, codes and whole responses, and must not reach a log.
 */

type Evidence = Readonly<Record<string, unknown>>

const BY_OUTBOUND: Record<OutboundCode, RefusalReason> = {
  outbound_address_refused: 'idp_misconfigured',
  outbound_scheme_refused: 'idp_misconfigured',
  outbound_redirect_refused: 'idp_misconfigured',
  outbound_too_large: 'idp_misconfigured',
  outbound_timeout: 'idp_unreachable',
  outbound_failed: 'idp_unreachable',
}

/** RFC 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6; any other error is the IdP's refusal. */
const BY_AUTHORIZATION_ERROR: Readonly<Record<string, RefusalReason>> = {
  invalid_request: 'idp_misconfigured',
  unauthorized_client: 'idp_misconfigured',
  unsupported_response_type: 'idp_misconfigured',
  invalid_scope: 'idp_misconfigured',
  server_error: 'idp_unreachable',
  temporarily_unavailable: 'idp_unreachable',
}

const BY_CLAIM: Readonly<Record<string, RefusalReason>> = {
  iss: 'issuer_mismatch',
  aud: 'audience_mismatch',
  azp: 'authorized_party_mismatch',
  nonce: 'nonce_mismatch',
  exp: 'expired',
  nbf: 'not_yet_valid',
}

const byClaim = ({ claim }: Evidence): RefusalReason => BY_CLAIM[String(claim)] ?? 'token_invalid'

const byClaims = (claims: Evidence): RefusalReason => {
  if (claims.sub === undefined) return 'subject_missing'
  if (typeof claims.sub !== 'string') return 'subject_malformed'
  if (claims.nonce === undefined) return 'nonce_mismatch'
  return 'token_invalid'
}

const byInvalidResponse = (evidence: Evidence): RefusalReason => {
  if ('signature' in evidence) return 'signature_invalid'
  if ('header' in evidence) return 'algorithm_refused'
  if ('body' in evidence) return 'idp_misconfigured'
  return isRecord(evidence.claims) ? byClaims(evidence.claims) : 'token_invalid'
}

const byStatus = ({ status }: Evidence): RefusalReason =>
  typeof status === 'number' && status >= 500 ? 'idp_unreachable' : 'idp_misconfigured'

const byOperation = (evidence: Evidence): RefusalReason => {
  if ('alg' in evidence) return 'algorithm_refused'
  // A CryptoKey: RSA below 2048 bits.
  return 'algorithm' in evidence ? 'idp_misconfigured' : 'token_invalid'
}

/** The codes of openid-client's ClientError; one that is not here makes the token invalid. */
const BY_CODE: Readonly<Record<string, RefusalReason | ((evidence: Evidence) => RefusalReason)>> = {
  OAUTH_RESPONSE_IS_NOT_CONFORM: byStatus,
  OAUTH_RESPONSE_IS_NOT_JSON: 'idp_misconfigured',
  OAUTH_PARSE_ERROR: 'token_invalid',
  OAUTH_INVALID_RESPONSE: byInvalidResponse,
  OAUTH_JWT_CLAIM_COMPARISON_FAILED: byClaim,
  OAUTH_JWT_TIMESTAMP_CHECK_FAILED: byClaim,
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED: 'idp_misconfigured',
  OAUTH_KEY_SELECTION_FAILED: 'key_unknown',
  OAUTH_UNSUPPORTED_OPERATION: byOperation,
  OAUTH_MISSING_SERVER_METADATA: 'idp_misconfigured',
  OAUTH_INVALID_SERVER_METADATA: 'idp_misconfigured',
  OAUTH_HTTP_REQUEST_FORBIDDEN: 'idp_misconfigured',
  OAUTH_REQUEST_PROTOCOL_FORBIDDEN: 'idp_misconfigured',
  OAUTH_TIMEOUT: 'idp_unreachable',
  OAUTH_ABORT: 'idp_unreachable',
}

const isRecord = (value: unknown): value is Evidence =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Text of the other side for the log: short, and without characters that could forge a line. */
export const clip = (text: unknown): string | undefined =>
  typeof text === 'string' ? text.replace(/\p{C}/gu, ' ').slice(0, 300) : undefined

const chain = (error: unknown): unknown[] => {
  const found: unknown[] = []
  for (let at = error; at instanceof Error && found.length < 8; at = at.cause) found.push(at, at.cause)
  return found
}

/** What may be said of a claim that did not match: identifiers, never the nonce. */
const comparison = (evidence: Evidence): Record<string, unknown> => {
  const { claim, claims, expected } = evidence
  if (typeof claim !== 'string') return {}
  if (!['iss', 'aud', 'azp'].includes(claim) || !isRecord(claims)) return { claim }
  return { claim, expected, received: clip(JSON.stringify(claims[claim])) }
}

const fromClientError = (error: ClientError): AppError => {
  // openid-client wraps once more; what is at fault lies at the end of the chain, or is the Response itself.
  const evidence = chain(error).findLast((link) => isRecord(link) && !(link instanceof Error))
  const seen = isRecord(evidence) ? evidence : {}
  const rule = BY_CODE[error.code ?? ''] ?? 'token_invalid'
  const reason = typeof rule === 'function' ? rule(seen) : rule
  return refusal(reason, { fault: error.code ?? clip(error.message), ...comparison(seen) })
}

/**
 * The refusal for whatever a call to openid-client threw. A `DOMException` comes from importing a key of the JWKS; a
 * `TypeError` from decoding what the IdP sent.
 */
export const toRefusal = (error: unknown): AppError => {
  const links = chain(error)
  const own = [error, ...links].find((link) => link instanceof AppError)
  if (own) {
    const reason = BY_OUTBOUND[own.code as OutboundCode] as RefusalReason | undefined
    return reason ? refusal(reason, { fault: own.code, ...own.detail }, own) : own
  }
  if (error instanceof ResponseBodyError) {
    const reason = error.error === 'invalid_grant' ? 'code_refused' : 'idp_misconfigured'
    return refusal(reason, { fault: clip(error.error), description: clip(error.error_description) })
  }
  if (error instanceof AuthorizationResponseError) {
    const reason = BY_AUTHORIZATION_ERROR[error.error] ?? 'idp_refused'
    return refusal(reason, { fault: clip(error.error), description: clip(error.error_description) })
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return refusal('idp_misconfigured', { fault: 'invalid_client', status: error.status })
  }
  if (error instanceof ClientError && links.some((link) => link instanceof DOMException)) {
    return refusal('idp_misconfigured', { fault: 'a published key cannot be used' })
  }
  if (error instanceof ClientError) return fromClientError(error)
  return refusal('token_invalid', { fault: error instanceof Error ? error.name : 'unknown' })
}
