import { expect, test } from 'vitest'
import { parsedOnce } from '../../src/crypto/parsed.ts'

test('a text is parsed once, and again only after newer ones took its place', () => {
  const parsed: string[] = []
  const parse = parsedOnce((text) => {
    parsed.push(text)
    return { text }
  }, 2)
  expect(parse('a')).toBe(parse('a'))
  parse('b')
  parse('c')
  expect(parse('c')).toEqual({ text: 'c' })
  parse('a')
  expect(parsed).toEqual(['a', 'b', 'c', 'a'])
})

test('what does not parse is not remembered', () => {
  const parse = parsedOnce<number>((text) => {
    throw new Error(text)
  })
  expect(() => parse('x')).toThrow('x')
  expect(() => parse('x')).toThrow('x')
})
