import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deriveKey, equalBytes, hmacSha256, randomToken, sha256 } from '../../src/crypto/hash.ts'

const bytes = fc.uint8Array().map((array) => Buffer.from(array))

describe('hashing', () => {
  test('is SHA-256 over the parts, one after the other (FIPS 180-4, “abc”)', () => {
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(sha256('abc').toString('hex')).toBe(abc)
    expect(sha256('a', Buffer.from('b'), 'c').toString('hex')).toBe(abc)
  })

  test('with a key is HMAC-SHA-256 (RFC 4231, case 2)', () => {
    expect(hmacSha256(Buffer.from('Jefe'), 'what do ya want for nothing?').toString('hex')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    )
  })
})

describe('comparing bytes', () => {
  test('agrees with comparing their content', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(equalBytes(a, b)).toBe(a.equals(b))
        expect(equalBytes(a, Buffer.from(a))).toBe(true)
      }),
    )
  })

  test('of different lengths is a plain no', () => {
    expect(equalBytes(Buffer.alloc(31), Buffer.alloc(32))).toBe(false)
  })
})

describe('a derived key', () => {
  test('is the same for one secret and purpose, and another for any other', () => {
    const secret = randomBytes(32)
    expect(deriveKey(secret, 'csrf')).toHaveLength(32)
    expect(deriveKey(secret, 'csrf')).toEqual(deriveKey(secret, 'csrf'))
    expect(deriveKey(secret, 'csrf')).not.toEqual(deriveKey(secret, 'cookies'))
    expect(deriveKey(secret, 'csrf')).not.toEqual(deriveKey(randomBytes(32), 'csrf'))
  })
})

describe('a random token', () => {
  test('is 256 bits unless told, fit for a URL, and never the same', () => {
    expect(randomToken()).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(randomToken(16)).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(new Set(Array.from({ length: 1000 }, () => randomToken())).size).toBe(1000)
  })
})
