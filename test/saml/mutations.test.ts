import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { VerifiedIdentity } from '../../src/connections/contract.ts'
import { AppError } from '../../src/core/errors.ts'
import { fixtureParams, post, readFixture } from './fixture-connection.ts'

/** What a reader thought of a document: the identity, or the code of the refusal. Anything else is thrown on. */
const outcome = async (xml: string | Buffer): Promise<VerifiedIdentity | string> => {
  try {
    return await post(xml, fixtureParams)
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

const expectSameOrRefused = async (name: string, mutated: string | Buffer): Promise<void> => {
  const { xml, params } = readFixture('good', name)
  const found = await outcome(mutated)
  if (typeof found === 'string') {
    // The reader itself refuses: that the second opinion had to would be a difference between the two.
    expect(found).not.toBe('opinions_differ')
    expect(found).not.toBe('internal')
  } else {
    expect(found).toEqual(await post(xml, params))
  }
}

const subjects = ['assertion-signed', 'response-signed', 'both-signed', 'okta', 'entra', 'keycloak'] as const
const anyFixture = fc.constantFrom(...subjects)
const runs = { numRuns: 400 }

describe('a signed response with one change', () => {
  it('of a byte is refused or names the identical person', async () => {
    await fc.assert(
      fc.asyncProperty(anyFixture, fc.nat(), fc.integer({ min: 0, max: 255 }), async (name, at, byte) => {
        const bytes = Buffer.from(readFixture('good', name).xml)
        bytes[at % bytes.length] = byte
        await expectSameOrRefused(name, bytes)
      }),
      runs,
    )
  })

  it('of a byte inserted or left out is refused or names the identical person', async () => {
    const piece = fc.constantFrom(
      '',
      ' ',
      '<',
      '>',
      '"',
      '&',
      '&#0;',
      '/',
      ':',
      'x',
      '<!---->',
      '<a/>',
      '\u0000',
      'é',
    )
    await fc.assert(
      fc.asyncProperty(anyFixture, fc.nat(), fc.nat({ max: 2 }), piece, async (name, where, cut, text) => {
        const { xml } = readFixture('good', name)
        const at = where % xml.length
        await expectSameOrRefused(name, xml.slice(0, at) + text + xml.slice(at + cut))
      }),
      runs,
    )
  })

  it('of an element repeated, left out or moved is refused or names the identical person', async () => {
    const change = fc.constantFrom('repeat', 'remove', 'move')
    await fc.assert(
      fc.asyncProperty(anyFixture, fc.nat(), fc.nat(), change, async (name, which, where, kind) => {
        const { xml } = readFixture('good', name)
        const { start, end } = elementAt(xml, which)
        const element = xml.slice(start, end)
        const without = xml.slice(0, start) + xml.slice(end)
        const tags = [...without.matchAll(/>/g)].map((found) => found.index + 1)
        const at = tags[where % tags.length] ?? 0
        const mutated = {
          repeat: xml.slice(0, end) + element + xml.slice(end),
          remove: without,
          move: without.slice(0, at) + element + without.slice(at),
        }[kind]
        await expectSameOrRefused(name, mutated)
      }),
      runs,
    )
  })
})

/** The nth element of a document, by matching its tags. */
const elementAt = (xml: string, nth: number): { start: number; end: number } => {
  const starts = [...xml.matchAll(/<([A-Za-z0-9:]+)/g)]
  const found = starts[nth % starts.length]
  if (!found?.[1]) throw new Error('a document without elements')
  const start = found.index
  const tags = new RegExp(`<${found[1]}(?=[ />])[^>]*>|</${found[1]}>`, 'g')
  tags.lastIndex = start
  let depth = 0
  for (let tag = tags.exec(xml); tag; tag = tags.exec(xml)) {
    if (tag[0].startsWith('</')) depth -= 1
    else if (!tag[0].endsWith('/>')) depth += 1
    if (depth === 0) return { start, end: tags.lastIndex }
  }
  throw new Error('an element that does not end')
}
