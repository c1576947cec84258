/**
 * The rules for a verified Response, one line each and in this order; the first that does not hold refuses the
 * sign-in with its reason. Values come from reader.ts, so from signed text wherever there was a signature.
 */

import { type RefusalReason, refusal } from '../connections/contract.ts'
import { addSeconds } from '../core/clock.ts'
import type { Confirmation } from './claims.ts'
import { BEARER, ENTITY_FORMAT, SUCCESS, TRANSIENT_FORMAT } from './names.ts'
import type { ReadResponse } from './reader.ts'

/** How far the IdP's clock may be from ours, in seconds. */
export const CLOCK_SKEW = 60
/** How old an assertion may be when it arrives, in seconds, whatever life the IdP gave it. */
export const MAX_AGE = 300

export type Expected = {
  idpEntityId: string
  entityId: string
  acsUrl: string
  requestId: string
  /** When the request asked for a new authentication: its instant. */
  authenticatedAfter: Date | undefined
  /** Empty: any will do. */
  contextClasses: readonly string[]
  /** An attribute names the person, so that the NameID may be one of the moment. */
  subjectByAttribute: boolean
}

type Facts = ReadResponse & { expected: Expected; now: Date }
type Mismatch = { expected: unknown; received: unknown }
type Check = readonly [name: string, reason: RefusalReason, find: (facts: Facts) => Mismatch | null]

const NONE = 'none'

const same = (expected: unknown, received: unknown): Mismatch | null =>
  received === expected ? null : { expected, received: received ?? NONE }

const sameIfPresent = (expected: string, received: string | undefined): Mismatch | null =>
  received === undefined ? null : same(expected, received)

const present = (what: string, received: unknown): Mismatch | null =>
  received === undefined ? { expected: what, received: NONE } : null

/** An end is exclusive, and is waited for as long as the clocks may differ. */
const notOver = ({ now }: Facts, end: Date | undefined): Mismatch | null =>
  end && addSeconds(end, CLOCK_SKEW) <= now ? { expected: `after ${now.toISOString()}`, received: end } : null

const begun = ({ now }: Facts, start: Date | undefined): Mismatch | null =>
  start && addSeconds(start, -CLOCK_SKEW) > now
    ? { expected: `at or before ${now.toISOString()}`, received: start }
    : null

const bearer = ({ assertion }: Facts): Partial<Confirmation> => assertion.confirmations[0] ?? {}

const issuer = (
  { expected }: Facts,
  found: { value: string; format: string | undefined } | undefined,
): Mismatch | null => same(expected.idpEntityId, found?.value) ?? sameIfPresent(ENTITY_FORMAT, found?.format)

const audience = ({ assertion, expected }: Facts): Mismatch | null => {
  const restrictions = assertion.conditions?.audiences ?? []
  const admitted = restrictions.length > 0 && restrictions.every((list) => list.includes(expected.entityId))
  return admitted ? null : { expected: expected.entityId, received: restrictions.flat() }
}

const oneBearer = ({ assertion }: Facts): Mismatch | null => {
  const methods = assertion.confirmations.map(({ method }) => method ?? NONE)
  return methods.length === 1 && methods[0] === BEARER ? null : { expected: [BEARER], received: methods }
}

const anew = ({ assertion, expected }: Facts): Mismatch | null => {
  const { authenticatedAfter } = expected
  const received = assertion.authentication?.instant
  return authenticatedAfter && received && addSeconds(received, CLOCK_SKEW) < authenticatedAfter
    ? { expected: `at or after ${authenticatedAfter.toISOString()}`, received }
    : null
}

const context = ({ assertion, expected }: Facts): Mismatch | null => {
  const { contextClasses } = expected
  const received = assertion.authentication?.contextClass
  return contextClasses.length === 0 || contextClasses.includes(received ?? '')
    ? null
    : { expected: contextClasses, received: received ?? NONE }
}

// Control, format (zero-width, direction) and unassigned characters, and white space at the edges or other than
// U+0020: two names that look alike to a person would be two people to us.
const UNCLEAN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}|^\s|\s$/u

export const isCleanName = (name: string): boolean =>
  !UNCLEAN.test(name) && name.length <= 1024 && name.normalize('NFC') === name

const cleanName = ({ assertion }: Facts): Mismatch | null =>
  isCleanName(assertion.nameId?.value ?? '')
    ? null
    : { expected: 'plain text without control, invisible or edge characters', received: 'other text' }

const lastingName = ({ assertion, expected }: Facts): Mismatch | null =>
  assertion.nameId?.format === TRANSIENT_FORMAT && !expected.subjectByAttribute
    ? { expected: 'a NameID that is the same at every sign-in', received: TRANSIENT_FORMAT }
    : null

// An unknown condition makes an assertion neither valid nor invalid (core section 2.5.1): so it is not accepted.
// OneTimeUse is kept by the journey's replay key; ProxyRestriction is about assertions, and we issue none.
const knownConditions = ({ assertion }: Facts): Mismatch | null => same(0, assertion.conditions?.unknown ?? 0)

/** What holds for every accepted response (SAML profiles section 4.1.4.3, and more). */
// biome-ignore format: a table reads best with one row a line
export const checks: readonly Check[] = [
  ['status', 'idp_refused', (f) => same(SUCCESS, f.envelope.status[0])],
  ['response version', 'structure_refused', (f) => same('2.0', f.envelope.version)],
  ['assertion version', 'structure_refused', (f) => same('2.0', f.assertion.version)],
  ['assertion issuer', 'issuer_mismatch', (f) => issuer(f, f.assertion.issuer)],
  ['response issuer', 'issuer_mismatch', (f) => (f.envelope.issuer || f.signed.response ? issuer(f, f.envelope.issuer) : null)],
  ['destination if present', 'destination_mismatch', (f) => sameIfPresent(f.expected.acsUrl, f.envelope.destination)],
  ['destination if signed', 'destination_mismatch', (f) => (f.signed.response ? same(f.expected.acsUrl, f.envelope.destination) : null)],
  ['one bearer confirmation', 'confirmation_refused', oneBearer],
  ['recipient', 'recipient_mismatch', (f) => same(f.expected.acsUrl, bearer(f).recipient)],
  ['request, as signed', 'request_mismatch', (f) => same(f.expected.requestId, bearer(f).inResponseTo)],
  ['request, on the response', 'request_mismatch', (f) => sameIfPresent(f.expected.requestId, f.envelope.inResponseTo)],
  ['confirmation has an end', 'confirmation_refused', (f) => present('NotOnOrAfter', bearer(f).notOnOrAfter)],
  ['confirmation not over', 'expired', (f) => notOver(f, bearer(f).notOnOrAfter)],
  ['confirmation begun', 'not_yet_valid', (f) => begun(f, bearer(f).notBefore)],
  ['conditions', 'conditions_refused', (f) => present('Conditions', f.assertion.conditions)],
  ['conditions known', 'conditions_refused', knownConditions],
  ['conditions have an end', 'conditions_refused', (f) => present('NotOnOrAfter', f.assertion.conditions?.notOnOrAfter)],
  ['conditions not over', 'expired', (f) => notOver(f, f.assertion.conditions?.notOnOrAfter)],
  ['conditions begun', 'not_yet_valid', (f) => begun(f, f.assertion.conditions?.notBefore)],
  ['audience', 'audience_mismatch', audience],
  ['issue instant', 'malformed', (f) => present('IssueInstant', f.assertion.issueInstant)],
  ['issued already', 'not_yet_valid', (f) => begun(f, f.assertion.issueInstant)],
  ['issued lately', 'expired', (f) => notOver(f, f.assertion.issueInstant && addSeconds(f.assertion.issueInstant, MAX_AGE))],
  ['authentication', 'authentication_missing', (f) => present('AuthnStatement', f.assertion.authentication?.instant)],
  ['authenticated already', 'not_yet_valid', (f) => begun(f, f.assertion.authentication?.instant)],
  ['authenticated anew, if asked', 'authentication_stale', anew],
  ['authentication context', 'context_mismatch', context],
  ['session not over', 'expired', (f) => notOver(f, f.assertion.authentication?.sessionNotOnOrAfter)],
  ['name not encrypted', 'encrypted_id_refused', (f) => same(false, f.assertion.encryptedId)],
  ['name', 'subject_missing', (f) => present('NameID', f.assertion.nameId?.value || undefined)],
  ['clean name', 'subject_malformed', cleanName],
  ['lasting name', 'subject_malformed', lastingName],
]

/** Runs the table. @throws AppError made by `refusal`, with the check's name and the values in `detail` */
export const runChecks = (facts: Facts): void => {
  for (const [check, reason, find] of checks) {
    const mismatch = find(facts)
    if (mismatch) throw refusal(reason, { check, ...mismatch })
  }
}
