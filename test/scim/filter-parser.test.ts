import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { type Filter, parseFilter, parsePath } from '../../src/scim/filter-parser.ts'

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
  return 'accepted'
}

const path = (name: string, sub: string | null = null, urn: string | null = null) => ({ urn, name, sub })
const eq = (name: string, value: string): Filter => ({
  kind: 'compare',
  path: path(name),
  operator: 'eq',
  value,
})

describe('the filter parser', () => {
  test('reads a comparison, whatever the letter case of its operator', () => {
    expect(parseFilter('userName eq "a"')).toEqual(eq('userName', 'a'))
    expect(parseFilter('  userName  EQ "a" ')).toEqual(eq('userName', 'a'))
  })

  test('binds and tighter than or, and parentheses tighter than both', () => {
    expect(parseFilter('a eq "1" or b eq "2" and c eq "3"')).toEqual({
      kind: 'or',
      of: [eq('a', '1'), { kind: 'and', of: [eq('b', '2'), eq('c', '3')] }],
    })
    expect(parseFilter('(a eq "1" or b eq "2") and c eq "3"')).toEqual({
      kind: 'and',
      of: [{ kind: 'or', of: [eq('a', '1'), eq('b', '2')] }, eq('c', '3')],
    })
  })

  test('reads not, pr, value paths, URNs and literals of every type', () => {
    expect(parseFilter('not (title pr)')).toEqual({
      kind: 'not',
      of: { kind: 'present', path: path('title') },
    })
    expect(parseFilter('emails[type eq "work" and value co "@x"]')).toMatchObject({
      kind: 'values',
      path: path('emails'),
      of: { kind: 'and' },
    })
    expect(parseFilter('urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "J"')).toMatchObject({
      path: path('name', 'familyName', 'urn:ietf:params:scim:schemas:core:2.0:User'),
    })
    const literals = ['true', 'False', 'null', '-1.5e3'].map((word) => parseFilter(`x eq ${word}`))
    expect(literals.map((filter) => (filter as { value: unknown }).value)).toEqual([true, false, null, -1500])
  })

  test('takes a sub-attribute behind the brackets to speak of the same element', () => {
    expect(parseFilter('emails[type eq "work"].value eq "a"')).toEqual(
      parseFilter('emails[type eq "work" and value eq "a"]'),
    )
  })

  test('undoes JSON escapes, and keeps brackets and operators inside quotes as text', () => {
    expect(parseFilter('a eq "x\\"] or b eq \\u0041\\\\"')).toEqual(eq('a', 'x"] or b eq A\\'))
  })

  test('takes a bare word for a value only where the profile allows it', () => {
    expect(codeOf(() => parseFilter('externalId eq jyoung'))).toBe('invalid_filter')
    expect(parseFilter('externalId eq jyoung', { bareWords: true })).toEqual(eq('externalId', 'jyoung'))
    expect(parseFilter('externalId eq 0012', { bareWords: true })).toEqual(eq('externalId', '0012'))
  })

  test.each([
    '',
    '   ',
    'userName',
    'userName eq',
    'userName eq "a" and',
    'and userName eq "a"',
    'userName eq "a" userName eq "b"',
    'userName is "a"',
    'userName eq "unclosed',
    'userName eq "bad \\x escape"',
    'userName eq "nul \\u0000"',
    '(userName eq "a"',
    'userName eq "a")',
    'emails[type eq "work"',
    'emails[]',
    'emails[a[b eq "c"]]',
    'emails[type eq "work"].a.b eq "c"',
    'not userName eq "a"',
    'a.b.c eq "d"',
    '__proto__ eq "a"',
    'constructor.name eq "a"',
    'name.prototype eq "a"',
    "userName eq 'a'",
    'user name eq "a"',
  ])('refuses %j', (text) => {
    expect(codeOf(() => parseFilter(text))).toBe('invalid_filter')
  })

  test('refuses hostile sizes at once', () => {
    const started = performance.now()
    const deep = (levels: number) => `${'('.repeat(levels)}a eq "1"${')'.repeat(levels)}`
    expect(codeOf(() => parseFilter(deep(20)))).toBe('accepted')
    expect(codeOf(() => parseFilter(deep(40)))).toBe('invalid_filter')
    expect(codeOf(() => parseFilter(deep(4_000)))).toBe('invalid_filter')
    expect(codeOf(() => parseFilter(deep(20_000)))).toBe('invalid_filter')
    expect(codeOf(() => parseFilter(Array(300).fill('a pr').join(' or ')))).toBe('invalid_filter')
    expect(codeOf(() => parseFilter(Array(200).fill('a pr').join(' or ')))).toBe('accepted')
    expect(codeOf(() => parseFilter(`a eq "${'x'.repeat(9_000)}"`))).toBe('invalid_filter')
    expect(codeOf(() => parseFilter(`urn:${':'.repeat(8_000)} pr`))).toBe('invalid_filter')
    expect(performance.now() - started).toBeLessThan(500)
  })
})

describe('the path parser', () => {
  test('reads names, dots, URNs and value paths', () => {
    expect(parsePath('active')).toEqual({ path: path('active'), filter: null, sub: null })
    expect(parsePath('name.givenName').path).toEqual(path('name', 'givenName'))
    expect(parsePath('urn:a:b:2.0:User:manager.value').path).toEqual(
      path('manager', 'value', 'urn:a:b:2.0:User'),
    )
    expect(parsePath('emails[type eq "work"].value')).toEqual({
      path: path('emails'),
      filter: eq('type', 'work'),
      sub: 'value',
    })
    expect(parsePath('members[value eq "a.b[c]"]')).toMatchObject({ path: path('members'), sub: null })
  })

  test('tells a bad path from a bad filter in it', () => {
    for (const text of [
      '',
      '.',
      'a..b',
      'a b',
      'emails].x',
      'emails[type eq "a"]value',
      'x:y',
      '__proto__.a',
    ]) {
      expect([text, codeOf(() => parsePath(text))]).toEqual([text, 'invalid_path'])
    }
    for (const text of ['emails[type]', 'emails[type eq "work"', 'emails[', 'emails[constructor eq "a"]']) {
      expect([text, codeOf(() => parsePath(text))]).toEqual([text, 'invalid_filter'])
    }
  })
})
