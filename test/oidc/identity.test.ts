import type { IDToken } from 'openid-client'
import { describe, expect, it } from 'vitest'
import type { AppError } from '../../src/core/errors.ts'
import { identityFrom } from '../../src/oidc/identity.ts'

const TENANT = '7b1c6a1e-2f0e-4a51-9d5f-3f6f2f1d0c11'
const OBJECT = 'c0ffee00-1111-4222-8333-444455556666'
const OKTA = 'https://example.okta.com'
const ENTRA = `https://login.microsoftonline.com/${TENANT}/v2.0`

const claims = (more: Record<string, unknown> = {}): IDToken => ({
  iss: OKTA,
  sub: '00u1abcd',
  aud: 'client',
  iat: 1_800_000_000,
  exp: 1_800_000_300,
  nonce: 'n',
  ...more,
})

const entra = (more: Record<string, unknown> = {}): IDToken =>
  claims({ iss: ENTRA, sub: 'pairwise', tid: TENANT, oid: OBJECT, ...more })

const reasonOf = (attempt: () => unknown): string | undefined => {
  try {
    attempt()
    return undefined
  } catch (error) {
    return (error as AppError).code
  }
}

describe('the subject', () => {
  it('is sub, which is also what SCIM calls externalId', () => {
    const identity = identityFrom(claims({ preferred_username: 'ada@example.test' }), OKTA)
    expect(identity.subject).toBe('00u1abcd')
    expect(identity.linkValues).toEqual({ externalId: '00u1abcd', userName: 'ada@example.test' })
  })

  it('is tid and oid at Entra ID, and oid is externalId', () => {
    const identity = identityFrom(entra(), ENTRA)
    expect(identity.subject).toBe(`${TENANT}:${OBJECT}`)
    expect(identity.linkValues).toEqual({ externalId: OBJECT, userName: undefined })
  })

  it('is not taken from tid and oid where the issuer is not Entra ID', () => {
    expect(identityFrom(claims({ tid: TENANT, oid: OBJECT }), OKTA).subject).toBe('00u1abcd')
  })

  it('is refused for another Entra tenant, and without tid or oid', () => {
    expect(reasonOf(() => identityFrom(entra({ tid: OBJECT }), ENTRA))).toBe('issuer_mismatch')
    expect(reasonOf(() => identityFrom(entra({ tid: undefined }), ENTRA))).toBe('subject_missing')
    expect(reasonOf(() => identityFrom(entra({ oid: undefined }), ENTRA))).toBe('subject_missing')
    expect(reasonOf(() => identityFrom(entra({ oid: ['a'] }), ENTRA))).toBe('subject_malformed')
  })

  it.each(['a'.repeat(256), ' a', 'a ', 'a\nb', 'a\u200bb', 'ä'])('is refused when it is %j', (sub) => {
    expect(reasonOf(() => identityFrom(claims({ sub }), OKTA))).toBe('subject_malformed')
  })

  it.each(['a', 'a'.repeat(255), 'auth0|5f7c8ec7', 'ada@example.test', 'CN=Ada Lovelace'])(
    'is taken when it is %j',
    (sub) => {
      expect(identityFrom(claims({ sub }), OKTA).subject).toBe(sub)
    },
  )
})

describe('an address', () => {
  it('is verified only where the IdP says literally true', () => {
    const verified = (value: unknown) =>
      identityFrom(claims({ email: 'a@example.test', email_verified: value }), OKTA).emailVerified
    expect(verified(true)).toBe(true)
    for (const value of [false, 'true', 1, 'yes', {}]) expect(verified(value)).toBe(false)
    expect(verified(undefined)).toBeUndefined()
  })

  it('is never verified at Entra ID, whatever the token says', () => {
    const identity = identityFrom(
      entra({ email: 'victim@example.test', email_verified: true, xms_edov: true }),
      ENTRA,
    )
    expect(identity).toMatchObject({ email: 'victim@example.test', emailVerified: false })
  })
})

describe('groups', () => {
  const groupsOf = (more: Record<string, unknown>) => identityFrom(claims(more), OKTA).groups

  it('are the list in the token, each once', () => {
    expect(groupsOf({ groups: ['a', 'b', 'a'] })).toEqual(['a', 'b'])
    expect(groupsOf({})).toEqual([])
  })

  it('are unknown when the IdP points elsewhere, never empty', () => {
    expect(groupsOf({ _claim_names: { groups: 'src1' }, _claim_sources: {} })).toBe('overage')
    expect(groupsOf({ hasgroups: true })).toBe('overage')
    expect(groupsOf({ hasgroups: 'true', groups: [] })).toBe('overage')
  })

  it('are unknown when the list is not one of names', () => {
    for (const groups of ['admins', [1], { a: 1 }, [['a']]]) expect(groupsOf({ groups })).toBe('overage')
  })
})

describe('how the person signed in', () => {
  it('is what the token says', () => {
    const told = claims({ acr: 'phr', amr: ['pwd', 'mfa'], auth_time: 1_799_999_000, sid: 'session-7' })
    expect(identityFrom(told, OKTA)).toMatchObject({
      acr: 'phr',
      amr: ['pwd', 'mfa'],
      authTime: new Date(1_799_999_000_000),
      sessionIndex: 'session-7',
    })
  })

  it('is not guessed: without auth_time it is the time of issue, without the rest nothing', () => {
    expect(identityFrom(claims({ amr: 'mfa' }), OKTA)).toMatchObject({
      acr: undefined,
      amr: [],
      authTime: new Date(1_800_000_000_000),
      sessionIndex: undefined,
    })
  })
})

describe('attributes', () => {
  it('hold what describes the person, as texts, under names that have no power', () => {
    const raw =
      '{"department":"R&D","level":7,"manager":false,"sites":["a",2],"address":{"a":1},"__proto__":"x"}'
    const { attributes } = identityFrom(claims(JSON.parse(raw)), OKTA)
    expect(Object.getPrototypeOf(attributes)).toBeNull()
    expect(Object.entries(attributes)).toEqual([
      ['department', ['R&D']],
      ['level', ['7']],
      ['manager', ['false']],
      ['sites', ['a', '2']],
      ['__proto__', ['x']],
    ])
  })
})

describe('the replay key', () => {
  it('is one for a flow, whatever else the token says, and lasts as long as the token', () => {
    const first = identityFrom(claims({ jti: 'a' }), OKTA).replay
    expect(identityFrom(claims({ jti: 'b' }), OKTA).replay.key).toBe(first.key)
    expect(identityFrom(claims({ jti: 'a', nonce: 'm' }), OKTA).replay.key).not.toBe(first.key)
    expect(first.until.getTime()).toBeGreaterThanOrEqual(1_800_000_300_000)
  })
})
