import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/scim/json.ts'
import { applyPatch } from '../../src/scim/patch.ts'
import { readOperations } from '../../src/scim/patch-request.ts'
import { profileOf } from '../../src/scim/profiles.ts'
import { userType } from '../../src/scim/resource-types.ts'
import { readUserDocument } from '../../src/scim/user-resource.ts'
import { ENTERPRISE, patchOf } from './support/server.ts'

const strict = profileOf('generic')
const entra = profileOf('entra')

const ada = (): JsonObject => ({
  id: 'usr_1',
  userName: 'ada@example.com',
  active: true,
  name: { givenName: 'Ada', familyName: 'Lovelace' },
  emails: [
    { value: 'ada@work.example', type: 'work', primary: true },
    { value: 'ada@home.example', type: 'home' },
  ],
  [ENTERPRISE]: { department: 'Analysis', manager: { value: 'usr_2' } },
})

const patched = (operations: unknown[], rules = strict, before = ada()): JsonObject => {
  const body = patchOf(...operations) as unknown as JsonObject
  return applyPatch(userType, before, readOperations(body, rules), rules)
}

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
  return 'accepted'
}

const refused = (operation: unknown, rules = strict): string => codeOf(() => patched([operation], rules))

describe('PATCH', () => {
  test.each([
    { op: 'Replace', path: 'active', value: 'False' },
    { op: 'replace', path: 'ACTIVE', value: false },
    { op: 'ADD', path: 'active', value: ['false'] },
    { op: 'replace', value: { active: false } },
    { op: 'replace', value: { 'urn:ietf:params:scim:schemas:core:2.0:User:active': false } },
    { op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User:active', value: false },
    { op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User', value: { active: false } },
  ])('deactivates by %j', (operation) => {
    expect(patched([operation])).toEqual({ ...ada(), active: false })
  })

  test('merges into a complex attribute and leaves the parts it does not name', () => {
    expect(patched([{ op: 'replace', path: 'name', value: { givenName: 'Augusta' } }]).name).toEqual({
      givenName: 'Augusta',
      familyName: 'Lovelace',
    })
    expect(
      patched([{ op: 'replace', value: { 'name.givenName': 'Augusta', name: { middleName: 'K' } } }]).name,
    ).toEqual({
      givenName: 'Augusta',
      familyName: 'Lovelace',
      middleName: 'K',
    })
    expect(patched([{ op: 'remove', path: 'name.givenName' }]).name).toEqual({ familyName: 'Lovelace' })
    expect(patched([{ op: 'replace', path: 'name', value: { givenName: null } }]).name).toEqual({
      familyName: 'Lovelace',
    })
  })

  test('adds to a list what is not in it, once, and moves the one primary', () => {
    const added = patched([
      { op: 'add', path: 'emails', value: [{ value: 'ada@home.example', type: 'home', primary: true }] },
      { op: 'add', path: 'emails', value: { value: 'ada@club.example', type: 'other' } },
      { op: 'add', path: 'emails', value: { value: 'ada@club.example', type: 'other' } },
    ])
    expect(added.emails).toEqual([
      { value: 'ada@work.example', type: 'work', primary: false },
      { value: 'ada@home.example', type: 'home', primary: true },
      { value: 'ada@club.example', type: 'other' },
    ])
    expect(
      refused({
        op: 'add',
        path: 'emails',
        value: [
          { value: 'a', primary: true },
          { value: 'b', primary: true },
        ],
      }),
    ).toBe('invalid_value')
  })

  test('replaces a list as a whole, and an empty one unassigns it', () => {
    expect(patched([{ op: 'replace', path: 'emails', value: [{ value: 'x@y.example' }] }]).emails).toEqual([
      { value: 'x@y.example' },
    ])
    expect(patched([{ op: 'replace', path: 'emails', value: [] }])).not.toHaveProperty('emails')
  })

  test('changes, replaces and removes the elements that a value path matches, and no other', () => {
    const work = 'emails[type eq "work"]'
    expect(patched([{ op: 'replace', path: `${work}.value`, value: 'new@work.example' }]).emails).toEqual([
      { value: 'new@work.example', type: 'work', primary: true },
      { value: 'ada@home.example', type: 'home' },
    ])
    expect(patched([{ op: 'replace', path: work, value: { value: 'n@x.example' } }]).emails).toEqual([
      { value: 'n@x.example' },
      { value: 'ada@home.example', type: 'home' },
    ])
    expect(patched([{ op: 'add', path: work, value: { display: 'Desk' } }]).emails).toContainEqual({
      value: 'ada@work.example',
      type: 'work',
      primary: true,
      display: 'Desk',
    })
    expect(patched([{ op: 'remove', path: work }]).emails).toEqual([
      { value: 'ada@home.example', type: 'home' },
    ])
    expect(patched([{ op: 'remove', path: 'emails[primary eq "True"].value' }]).emails).toEqual([
      { value: 'ada@home.example', type: 'home' },
    ])
    expect(
      patched([{ op: 'remove', path: 'emails', value: [{ value: 'ada@home.example' }] }]).emails,
    ).toHaveLength(1)
    expect(patched([{ op: 'remove', path: 'emails' }])).not.toHaveProperty('emails')
    expect(patched([{ op: 'remove', path: 'emails', value: [] }]).emails).toHaveLength(2)
  })

  test('a replace whose value path matches nothing is noTarget by the RFC, and makes the element for Entra', () => {
    const operation = { op: 'Replace', path: 'phoneNumbers[type eq "work"].value', value: '+1 555' }
    expect(refused(operation)).toBe('no_target')
    expect(patched([operation], entra).phoneNumbers).toEqual([{ type: 'work', value: '+1 555' }])
    expect(patched([{ ...operation, op: 'add' }]).phoneNumbers).toEqual([{ type: 'work', value: '+1 555' }])
    expect(refused({ ...operation, path: 'phoneNumbers[type sw "w"].value' }, entra)).toBe('no_target')
    expect(refused({ op: 'remove', path: 'phoneNumbers[type eq "work"]' })).toBe('no_target')
    expect(refused({ op: 'remove', path: 'phoneNumbers[type eq "work"]' }, entra)).toBe('accepted')
  })

  test.each([
    { path: 'manager', value: [{ value: 'usr_3', $ref: null }] },
    { path: `${ENTERPRISE}:manager`, value: 'usr_3' },
    { path: `${ENTERPRISE}:manager.value`, value: 'usr_3' },
    { path: ENTERPRISE, value: { manager: { value: 'usr_3', displayName: 'ignored' } } },
    { value: { [ENTERPRISE]: { manager: 'usr_3' } } },
    { value: { [`${ENTERPRISE}:manager`]: 'usr_3' } },
  ])('sets the manager in the extension by %j', (operation) => {
    expect(patched([{ op: 'add', ...operation }])[ENTERPRISE]).toEqual({
      department: 'Analysis',
      manager: { value: 'usr_3' },
    })
  })

  test('removes extension attributes one by one or all', () => {
    expect(patched([{ op: 'remove', path: `${ENTERPRISE}:manager` }])[ENTERPRISE]).toEqual({
      department: 'Analysis',
    })
    expect(patched([{ op: 'remove', path: ENTERPRISE }])).not.toHaveProperty([ENTERPRISE])
    expect(refused({ op: 'remove', path: 'urn:ietf:params:scim:schemas:core:2.0:User' })).toBe('mutability')
  })

  test('unpacks the role that Entra sends as JSON text, for Entra only', () => {
    const text = '{"id":"06b0","value":"25","displayName":"Clerk"}'
    const operation = { op: 'Add', path: 'roles', value: [{ value: text }] }
    expect(patched([operation], entra).roles).toEqual([{ value: '25', display: 'Clerk' }])
    expect(patched([operation]).roles).toEqual([{ value: text }])
  })

  test('checks a password and throws it away', () => {
    expect(patched([{ op: 'replace', value: { password: 'x' } }])).toEqual(ada())
    expect(refused({ op: 'replace', path: 'password', value: 5 })).toBe('invalid_value')
  })

  test.each([
    ['mutability', { op: 'replace', path: 'id', value: 'usr_9' }],
    ['mutability', { op: 'replace', value: { id: 'usr_9', title: 'x' } }],
    ['mutability', { op: 'add', path: 'groups', value: [{ value: 'x' }] }],
    ['mutability', { op: 'replace', path: 'meta.version', value: 'x' }],
    ['mutability', { op: 'add', path: `${ENTERPRISE}:manager.displayName`, value: 'x' }],
    ['mutability', { op: 'remove', path: 'userName' }],
    ['mutability', { op: 'replace', path: 'userName', value: null }],
    ['mutability', { op: 'remove', path: 'schemas' }],
    ['no_target', { op: 'remove' }],
    ['invalid_path', { op: 'replace', path: 'favouriteColour', value: 'x' }],
    ['invalid_path', { op: 'replace', path: 'emails[type eq "work"].colour', value: 'x' }],
    ['invalid_path', { op: 'replace', path: 'name[familyName eq "x"]', value: 'x' }],
    ['invalid_path', { op: 'replace', path: 'urn:example:unknown:2.0:User:x', value: 'x' }],
    ['invalid_path', { op: 'replace', path: '__proto__.polluted', value: 'x' }],
    ['invalid_path', { op: 'replace', value: { favouriteColour: 'x' } }],
    ['invalid_filter', { op: 'replace', path: 'emails[colour eq "x"].value', value: 'x' }],
    ['invalid_filter', { op: 'replace', path: 'emails[primary gt true].value', value: 'x' }],
    ['invalid_value', { op: 'replace', path: 'active', value: 'perhaps' }],
    ['invalid_value', { op: 'replace', path: 'userName', value: ' ' }],
    ['invalid_value', { op: 'replace', path: 'userName', value: 'a\u0000b' }],
    ['invalid_value', { op: 'replace', path: 'title', value: '\ud800' }],
    ['invalid_value', { op: 'replace', path: 'title', value: ['a', 'b'] }],
    ['invalid_value', { op: 'replace', path: 'name', value: 'Ada' }],
    ['invalid_value', { op: 'add', path: 'title' }],
    ['invalid_value', { op: 'replace', value: 'active' }],
    ['invalid_value', { op: 'add', path: 'x509Certificates', value: [{ value: 'not base64!' }] }],
    ['invalid_syntax', { op: 'move', path: 'title', value: 'x' }],
    ['invalid_syntax', { path: 'title', value: 'x' }],
    ['invalid_syntax', 'replace'],
  ])('answers %s to %j', (code, operation) => {
    expect(refused(operation)).toBe(code)
  })

  test('takes the same id and its own schemas as no change', () => {
    expect(patched([{ op: 'replace', value: { id: 'usr_1', title: 'Countess' } }])).toEqual({
      ...ada(),
      title: 'Countess',
    })
    expect(patched([{ op: 'add', path: 'schemas', value: [ENTERPRISE] }])).toEqual(ada())
    expect(patched([{ op: 'replace', path: 'id', value: 'usr_1' }])).toEqual(ada())
  })

  test('leaves the document as it was when a later operation fails', () => {
    const before = ada()
    expect(
      codeOf(() =>
        patched(
          [
            { op: 'replace', path: 'title', value: 'x' },
            { op: 'remove', path: 'userName' },
          ],
          strict,
          before,
        ),
      ),
    ).toBe('mutability')
    expect(before).toEqual(ada())
  })

  test('an empty list of operations is an error by the RFC, and nothing to do for Entra', () => {
    expect(codeOf(() => patched([]))).toBe('invalid_syntax')
    expect(patched([], entra)).toEqual(ada())
  })

  test('takes a thousand operations and not one more, quickly even where each searches a long list', () => {
    const emails = Array.from({ length: 250 }, (_, n) => ({ value: `${n}@x.example`, type: 'work' }))
    const operation = { op: 'replace', path: 'emails[value eq "249@x.example"].display', value: 'x' }
    const started = performance.now()
    const after = patched(Array(1_000).fill(operation), strict, { ...ada(), emails })
    expect(after.emails).toContainEqual({ value: '249@x.example', type: 'work', display: 'x' })
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(codeOf(() => patched(Array(1_001).fill(operation)))).toBe('too_many_operations')
    expect(refused({ op: 'add', path: 'emails', value: Array(251).fill({ value: 'a' }) })).toBe(
      'invalid_value',
    )
  })

  test('whatever the operations, the engine ends in a document or a refusal, and twice the same is the same', () => {
    const path = fc.oneof(
      fc.constantFrom(
        'active',
        'name',
        'name.givenName',
        'emails',
        'emails[type eq "work"]',
        'emails.value',
        'emails[type eq "work"].value',
        ENTERPRISE,
        `${ENTERPRISE}:manager`,
        'manager.value',
        'roles',
        'groups',
        'schemas',
      ),
      fc.string(),
    )
    const value = fc.oneof(
      fc.constantFrom('True', null, [], {}, 'x', { value: 'x' }, [{ value: 'x', primary: true }]),
      fc.jsonValue(),
    )
    const operation = fc.record(
      { op: fc.constantFrom('add', 'replace', 'remove'), path, value },
      { requiredKeys: ['op'] },
    )
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(strict, entra),
        (operations, rules) => {
          const outcome = () => {
            try {
              return patched(operations, rules)
            } catch (error) {
              if (error instanceof AppError) return error.code
              throw error
            }
          }
          const first = outcome()
          expect(outcome()).toEqual(first)
          if (typeof first === 'string') return
          expect(first.userName).toBeTypeOf('string')
          expect(JSON.stringify(first)).not.toContain('null,')
          expect(patched([{ op: 'replace', value: { title: 'x' } }], rules, first)).toEqual({
            ...first,
            title: 'x',
          })
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('reading a whole user', () => {
  test('takes names in any letter case and leaves out what is unknown, null, empty or read-only', () => {
    const document = readUserDocument(
      {
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User', 'http://example.com/unknown'],
        USERNAME: 'ada',
        id: 'mine',
        meta: { version: 'x' },
        groups: [{ value: 'g' }],
        password: 'secret',
        nickName: null,
        phoneNumbers: [],
        'http://example.com/unknown': { a: 1 },
        favouriteColour: 'red',
        emails: [{ value: 'a@x.example', $ref: null, colour: 'red' }],
        [ENTERPRISE]: { employeeNumber: '7', Manager: { value: 'm' } },
      },
      strict,
    )
    expect(document).toEqual({
      userName: 'ada',
      emails: [{ value: 'a@x.example' }],
      [ENTERPRISE]: { employeeNumber: '7', manager: { value: 'm' } },
    })
  })

  test('demands a userName', () => {
    expect(codeOf(() => readUserDocument({ displayName: 'x' }, strict))).toBe('invalid_value')
    expect(codeOf(() => readUserDocument({ userName: null }, strict))).toBe('invalid_value')
    expect(codeOf(() => readUserDocument({ userName: '' }, strict))).toBe('invalid_value')
  })
})
