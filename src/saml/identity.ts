/** From the claims of an accepted assertion to a `VerifiedIdentity`, by the connection's attribute names. */

import { refusal, type VerifiedIdentity } from '../connections/contract.ts'
import { addSeconds } from '../core/clock.ts'
import { CLOCK_SKEW } from './checks.ts'
import type { Assertion } from './claims.ts'
import type { SamlConfig } from './config.ts'
import { EMAIL_FORMAT } from './names.ts'

type Attributes = Assertion['attributes']

/** Entra puts this where a user is in more groups than it lists (150): it is a link to ask, and says nothing. */
const GROUPS_OVERAGE = 'http://schemas.microsoft.com/claims/groups.link'
const AUTHENTICATION_METHODS = 'http://schemas.microsoft.com/claims/authnmethodsreferences'

/** The values of the first of these attributes that has any; never a mixture of two. */
const valuesOf = (attributes: Attributes, names: readonly string[]): readonly string[] => {
  for (const name of names) {
    const values = (attributes[name] ?? []).filter((value) => value !== '')
    if (values.length > 0) return values
  }
  return []
}

/**
 * The value where one decides who somebody is.
 * @throws AppError `attribute_ambiguous` where two differ: whichever we took, another reader might take the other
 */
const soleValue = (attributes: Attributes, names: readonly string[]): string | undefined => {
  const distinct = new Set(valuesOf(attributes, names))
  if (distinct.size <= 1) return [...distinct][0]
  throw refusal('attribute_ambiguous', {
    expected: `one value of ${names.find((name) => attributes[name]?.length)}`,
    received: distinct.size,
  })
}

const groupsOf = (attributes: Attributes, names: readonly string[]): readonly string[] | 'overage' =>
  attributes[GROUPS_OVERAGE] ? 'overage' : [...new Set(valuesOf(attributes, names))]

const earlier = (a: Date, b: Date): Date => (a < b ? a : b)

/**
 * @param assertion has passed every check
 * @throws AppError `attribute_ambiguous`, `subject_missing`
 */
export const toIdentity = (assertion: Assertion, config: SamlConfig): VerifiedIdentity => {
  const { nameId, authentication, conditions, attributes } = assertion
  const confirmed = assertion.confirmations[0]?.notOnOrAfter
  if (!nameId || !authentication?.instant || !conditions?.notOnOrAfter || !confirmed) {
    throw refusal('subject_missing', { expected: 'an assertion that passed the checks' })
  }
  const names = config.attributes
  return {
    subject: nameId.value,
    linkValues: { externalId: soleValue(attributes, names.externalId), userName: nameId.value },
    email: soleValue(attributes, names.email) ?? (nameId.format === EMAIL_FORMAT ? nameId.value : undefined),
    // SAML has no such claim. Whether an address counts is decided by the organisation's verified domains.
    emailVerified: false,
    displayName: valuesOf(attributes, names.displayName)[0],
    givenName: valuesOf(attributes, names.givenName)[0],
    familyName: valuesOf(attributes, names.familyName)[0],
    attributes,
    groups: groupsOf(attributes, names.groups),
    acr: authentication.contextClass,
    amr: attributes[AUTHENTICATION_METHODS] ?? [],
    authTime: authentication.instant,
    sessionIndex: authentication.sessionIndex,
    // After the earlier end, give or take the clocks, the checks refuse it anyway: no need to remember it longer.
    replay: { key: assertion.id, until: addSeconds(earlier(confirmed, conditions.notOnOrAfter), CLOCK_SKEW) },
  }
}
