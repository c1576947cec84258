import type { IDToken } from 'openid-client'
import { refusal, type VerifiedIdentity } from '../connections/contract.ts'
import { sha256 } from '../crypto/hash.ts'
import { entraTenant } from './issuer.ts'
import { CLOCK_TOLERANCE } from './provider.ts'

/** Claims of the protocol itself; the rest describes the person. */
const PROTOCOL = new Set(
  'iss sub aud exp iat nbf nonce azp jti sid at_hash c_hash s_hash auth_time acr amr uti rh aio ver _claim_names _claim_sources'.split(
    ' ',
  ),
)

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const scalars = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value])
    .filter((item) => ['string', 'number', 'boolean'].includes(typeof item))
    .map(String)

/** Null-prototype, since the names are the IdP's: `__proto__` is a name like any other here. */
const attributesOf = (claims: IDToken): VerifiedIdentity['attributes'] => {
  const attributes: Record<string, readonly string[]> = Object.create(null)
  for (const [name, value] of Object.entries(claims)) {
    const values = PROTOCOL.has(name) ? [] : scalars(value)
    if (values.length > 0) attributes[name] = values
  }
  return attributes
}

/** Entra ID lists up to 200 groups; beyond, it points elsewhere. A list that is not one is unknown too, never empty. */
const groupsOf = (claims: IDToken): VerifiedIdentity['groups'] => {
  const { groups, hasgroups, _claim_names: elsewhere } = claims
  if (isRecord(elsewhere) && 'groups' in elsewhere) return 'overage'
  if (hasgroups === true || hasgroups === 'true') return 'overage'
  if (groups === undefined || groups === null) return []
  return isStrings(groups) ? [...new Set(groups)] : 'overage'
}

/** OpenID Connect Core section 2: at most 255 ASCII characters. Space and controls have no honest use in one. */
const checked = (value: unknown, claim: string): string => {
  if (value === undefined || value === '') throw refusal('subject_missing', { claim })
  if (typeof value !== 'string' || !/^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(value)) {
    throw refusal('subject_malformed', { claim })
  }
  return value
}

/**
 * Entra's `sub` differs from app to app, so a second app registration would be a second person; `oid` within `tid` is
 * the person (and what SCIM sends as externalId). The tenant is compared although the issuer names it already.
 */
const subjectOf = (claims: IDToken, tenant: string | null) => {
  const sub = checked(claims.sub, 'sub')
  if (tenant === null) return { subject: sub, externalId: sub }
  const tid = checked(claims.tid, 'tid')
  if (tid !== tenant) throw refusal('issuer_mismatch', { claim: 'tid', expected: tenant })
  const oid = checked(claims.oid, 'oid')
  return { subject: `${tid}:${oid}`, externalId: oid }
}

/**
 * The nonce is ours, 256 random bits for one flow, and inside what the IdP signed: it names an accepted token one to
 * one. A `jti` is optional and the IdP's choice, and `iat` has a grain of a second, so either could refuse honest
 * sign-ins or let a token pass twice. Hashed, because what is stored needs no nonce in it.
 */
const replayOf = (claims: IDToken): VerifiedIdentity['replay'] => ({
  key: sha256(JSON.stringify(['oidc', claims.iss, claims.nonce])).toString('base64url'),
  until: new Date((claims.exp + CLOCK_TOLERANCE) * 1000),
})

/** Only a literal `true` counts. Entra never vouches for an address, whatever its token says (nOAuth). */
const emailVerifiedOf = (claim: unknown, tenant: string | null): boolean | undefined =>
  claim === undefined && tenant === null ? undefined : tenant === null && claim === true

/**
 * The identity in the claims of a verified ID token.
 * @throws AppError made by `refusal`: no usable subject, or another Entra tenant
 */
export const identityFrom = (claims: IDToken, issuer: string): VerifiedIdentity => {
  const tenant = entraTenant(issuer)
  const { subject, externalId } = subjectOf(claims, tenant)
  return {
    subject,
    linkValues: { externalId, userName: text(claims.preferred_username) },
    email: text(claims.email),
    // Literally true and from an IdP that verifies: in Entra ID a tenant's admin writes any address (nOAuth).
    emailVerified: emailVerifiedOf(claims.email_verified, tenant),
    displayName: text(claims.name),
    givenName: text(claims.given_name),
    familyName: text(claims.family_name),
    attributes: attributesOf(claims),
    groups: groupsOf(claims),
    acr: text(claims.acr),
    amr: isStrings(claims.amr) ? claims.amr : [],
    authTime: new Date((claims.auth_time ?? claims.iat) * 1000),
    sessionIndex: text(claims.sid),
    replay: replayOf(claims),
  }
}
