/** From the claims of an accepted assertion to a `VerifiedIdentity`, by the connection's attribute names. */

import { refusal, type VerifiedIdentity } from '../connections/contract.ts'
import { addSeconds } from '../core/clock.ts'
import { CLOCK_SKEW, isCleanName } from './checks.ts'
import type { Assertion } from './claims.ts'
import type { SamlConfig } from './config.ts'
import { EMAIL_FORMAT } from './names.ts'
import { type Fact, PRESETS } from './presets.ts'

type Attributes = Assertion['attributes']

/** Entra puts this where a user is in more groups than it lists (150): it is a link to ask, and says nothing. */
const GROUPS_OVERAGE = 'http://schemas.microsoft.com/claims/groups.link'
const AUTHENTICATION_METHODS = 'http://schemas.microsoft.com/claims/authnmethodsreferences'

/** The names to look for a fact under: the connection's own, else its preset's. */
const namesOf = ({ preset, attributes }: SamlConfig, fact: Fact): readonly string[] =>
  attributes[fact] ?? PRESETS[preset][fact]

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

/** A name from an attribute is held to what a NameID is held to. @throws AppError `subject_missing`, `subject_malformed` */
const subjectOf = (nameId: string, attributes: Attributes, names: readonly string[]): string => {
  if (names.length === 0) return nameId
  const subject = soleValue(attributes, names)
  if (subject === undefined) {
    throw refusal('subject_missing', { expected: `an attribute ${names.join(' or ')}`, received: 'none' })
  }
  if (isCleanName(subject)) return subject
  throw refusal('subject_malformed', { expected: 'plain text', received: 'other text' })
}

const groupsOf = (attributes: Attributes, names: readonly string[]): readonly string[] | 'overage' =>
  attributes[GROUPS_OVERAGE] ? 'overage' : [...new Set(valuesOf(attributes, names))]

/** What was sent, and the platform's own fields over it. */
const profileOf = (attributes: Attributes, extra: SamlConfig['attributes']['extra']): Attributes => {
  const profile: Record<string, readonly string[]> = Object.assign(Object.create(null), attributes)
  for (const [field, names] of Object.entries(extra)) {
    const values = valuesOf(attributes, names)
    if (values.length > 0) profile[field] = values
  }
  return profile
}

const earlier = (a: Date, b: Date): Date => (a < b ? a : b)

/**
 * @param assertion has passed every check
 * @throws AppError `attribute_ambiguous`, `subject_missing`, `subject_malformed`
 */
export const toIdentity = (assertion: Assertion, config: SamlConfig): VerifiedIdentity => {
  const { nameId, authentication, conditions, attributes } = assertion
  const confirmed = assertion.confirmations[0]?.notOnOrAfter
  if (!nameId || !authentication?.instant || !conditions?.notOnOrAfter || !confirmed) {
    throw refusal('subject_missing', { expected: 'an assertion that passed the checks' })
  }
  const only = (fact: Fact) => soleValue(attributes, namesOf(config, fact))
  const firstOf = (fact: Fact) => valuesOf(attributes, namesOf(config, fact))[0]
  const subject = subjectOf(nameId.value, attributes, config.attributes.subject)
  return {
    subject,
    linkValues: { externalId: only('externalId'), userName: subject },
    email: only('email') ?? (nameId.format === EMAIL_FORMAT ? nameId.value : undefined),
    // SAML has no such claim. Whether an address counts is decided by the organisation's verified domains.
    emailVerified: undefined,
    displayName: firstOf('displayName'),
    givenName: firstOf('givenName'),
    familyName: firstOf('familyName'),
    attributes: profileOf(attributes, config.attributes.extra),
    groups: groupsOf(attributes, namesOf(config, 'groups')),
    acr: authentication.contextClass,
    amr: attributes[AUTHENTICATION_METHODS] ?? [],
    authTime: authentication.instant,
    sessionIndex: authentication.sessionIndex,
    // After the earlier end, give or take the clocks, the checks refuse it anyway: no need to remember it longer.
    replay: { key: assertion.id, until: addSeconds(earlier(confirmed, conditions.notOnOrAfter), CLOCK_SKEW) },
  }
}
