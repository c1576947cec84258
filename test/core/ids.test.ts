import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { fromId, type IdPrefix, newUuid, parseId, toId } from '../../src/core/ids.ts'

const prefixes: IdPrefix[] = ['org', 'con', 'dir', 'usr', 'grp', 'ses', 'cli', 'evt', 'dom']
const prefix = fc.constantFrom(...prefixes)
const uuid = fc.uuid()

const notFound = expect.objectContaining({ kind: 'not_found', code: 'not_found' })

describe('a typed ID', () => {
  test('says its kind and leads back to its UUID', () => {
    fc.assert(
      fc.property(prefix, uuid, (of, id) => {
        expect(toId(of, id)).toMatch(new RegExp(`^${of}_[0-7][0-9a-hjkmnp-tv-z]{25}$`))
        expect(fromId(of, toId(of, id))).toBe(id)
        expect(parseId(of, toId(of, id))).toBe(id)
      }),
    )
  })

  test('of one kind names nothing of another', () => {
    fc.assert(
      fc.property(prefix, prefix, uuid, (of, other, id) => {
        fc.pre(of !== other)
        expect(parseId(other, toId(of, id))).toBeNull()
        expect(() => fromId(other, toId(of, id))).toThrow(notFound)
      }),
    )
  })

  test('has one spelling: whatever else is parsed is what it would be written as', () => {
    fc.assert(
      fc.property(prefix, fc.stringMatching(/^[0-9a-zA-Z_]{20,30}$/), (of, suffix) => {
        const id = `${of}_${suffix}`
        const parsed = parseId(of, id)
        if (parsed !== null) expect(toId(of, parsed)).toBe(id)
      }),
    )
  })

  test.each([
    ['nothing', ''],
    ['a prefix only', 'usr_'],
    ['a UUID', '01890a5d-ac96-774b-bcce-b302099a8057'],
    ['no prefix', '01h455vb4pex5vsknk084sn02q'],
    ['one character short', 'usr_01h455vb4pex5vsknk084sn02'],
    ['one character long', 'usr_01h455vb4pex5vsknk084sn02qq'],
    ['upper case', 'usr_01H455VB4PEX5VSKNK084SN02Q'],
    ['a letter outside the alphabet', 'usr_01h455vb4pex5vsknk084sn02l'],
    ['more than 128 bits', 'usr_8zzzzzzzzzzzzzzzzzzzzzzzzz'],
    ['two prefixes', 'usr_usr_01h455vb4pex5vsknk084sn02q'],
    ['white space after it', 'usr_01h455vb4pex5vsknk084sn02q '],
    ['a line break after it', 'usr_01h455vb4pex5vsknk084sn02q\n'],
    ['a NUL in it', 'usr_01h455vb4pex5vsknk084sn02\0'],
    ['a name of Object’s', '__proto__'],
  ])('with %s names nothing, as an unknown one does', (_name, id) => {
    expect(parseId('usr', id)).toBeNull()
    expect(() => fromId('usr', id)).toThrow(notFound)
    expect(fromId('usr', 'usr_01h455vb4pex5vsknk084sn02q')).toBe('01890a5d-ac96-774b-bcce-b302099a8057')
  })

  test('that is malformed is not repeated at length to whoever asked', () => {
    try {
      fromId('usr', 'x'.repeat(100_000))
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(AppError)
      expect((error as AppError).message.length).toBeLessThan(100)
    }
  })

  test('is parsed or refused, and nothing else happens, whatever it is', () => {
    fc.assert(
      fc.property(prefix, fc.string(), (of, noise) => {
        expect(parseId(of, noise)).toBeNull()
      }),
    )
  })
})

describe('a new UUID', () => {
  test('is a version 7 one, unlike any other, and sorts by the time it was made', async () => {
    const earlier = Array.from({ length: 500 }, newUuid)
    await new Promise((resolve) => setTimeout(resolve, 3))
    const later = Array.from({ length: 500 }, newUuid)
    for (const id of earlier) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }
    expect(new Set([...earlier, ...later]).size).toBe(1000)
    expect(earlier.every((id) => later.every((other) => id < other))).toBe(true)
    expect(toId('usr', earlier[0] as string) < toId('usr', later[0] as string)).toBe(true)
  })
})
