import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openBytes, sealBytes } from '../../src/crypto/seal.ts'

const key = randomBytes(32)

const bytes = (constraints?: { minLength?: number; maxLength?: number }) =>
  fc.uint8Array(constraints).map((array) => Buffer.from(array))

const unsealingFailed = expect.objectContaining({ kind: 'internal', code: 'unsealing_failed' })

describe('a sealed value', () => {
  test('opens to what was sealed, under the same key and additional data', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 2000 }), fc.string(), (plaintext, aad) => {
        expect(openBytes(key, aad, sealBytes(key, aad, plaintext))).toEqual(plaintext)
      }),
    )
  })

  test('does not open where any one bit of it has changed', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 40 }), fc.nat(), (plaintext, somewhere) => {
        const sealed = sealBytes(key, 'here', plaintext)
        const bit = somewhere % (sealed.length * 8)
        const at = bit >> 3
        sealed[at] = (sealed[at] as number) ^ (1 << (bit & 7))
        expect(() => openBytes(key, 'here', sealed)).toThrow(unsealingFailed)
      }),
    )
  })

  test('does not open where it was cut or has grown, at either end', () => {
    const sealed = sealBytes(key, 'here', Buffer.from('a secret'))
    for (let length = 0; length < sealed.length; length++) {
      expect(() => openBytes(key, 'here', sealed.subarray(0, length))).toThrow(unsealingFailed)
      expect(() => openBytes(key, 'here', sealed.subarray(sealed.length - length))).toThrow(unsealingFailed)
    }
    expect(() => openBytes(key, 'here', Buffer.concat([sealed, Buffer.of(0)]))).toThrow(unsealingFailed)
    expect(openBytes(key, 'here', sealed).toString()).toBe('a secret')
  })

  test('does not open under another key', () => {
    const sealed = sealBytes(key, 'here', Buffer.from('a secret'))
    expect(() => openBytes(randomBytes(32), 'here', sealed)).toThrow(unsealingFailed)
  })

  test('does not open with other additional data', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (here, there) => {
        fc.pre(here !== there)
        const sealed = sealBytes(key, here, Buffer.from('a secret'))
        expect(() => openBytes(key, there, sealed)).toThrow(unsealingFailed)
      }),
    )
  })

  test('never looks the same twice, and does not show what is in it', () => {
    const plaintext = Buffer.from('a secret of some length')
    const [one, two] = [sealBytes(key, 'here', plaintext), sealBytes(key, 'here', plaintext)]
    expect(one).not.toEqual(two)
    expect(one.subarray(0, 12)).not.toEqual(two.subarray(0, 12))
    expect(one.includes(plaintext)).toBe(false)
  })

  test('says nothing of its content or its key when it does not open', () => {
    const sealed = sealBytes(key, 'here', Buffer.from('a secret'))
    expect(() => openBytes(key, 'there', sealed)).toThrow(/^A stored secret could not be opened\.$/)
  })
})
