import { performance } from 'node:perf_hooks'
import { describe, expect, it } from 'vitest'
import { REQUEST_ID, shape, signed, toXml } from '../../fixtures/saml-responses.ts'
import { createSigner } from '../../fixtures/saml-signer.ts'
import { decodeMessage, readResponse } from '../../src/saml/reader.ts'
import { counted, fixtureParams, openFixture, post, readFixture } from './fixture-connection.ts'

const honest = readFixture('good', 'assertion-signed')

const finish = (form: Record<string, string>, method: 'GET' | 'POST' = 'POST') =>
  openFixture(fixtureParams).finish({
    method,
    query: {},
    form,
    now: new Date(fixtureParams.now),
    expects: { requestId: REQUEST_ID },
  })

describe('the message', () => {
  const base64 = Buffer.from(honest.xml).toString('base64')

  it('may be broken into lines', async () => {
    const SAMLResponse = base64.replace(/.{76}/g, '$&\r\n')
    await expect(finish({ SAMLResponse })).resolves.toMatchObject({ subject: 'alice-4711' })
  })

  it.each([
    ['junk between the characters', `${base64.slice(0, 40)}!${base64.slice(40)}`],
    ['the URL-safe alphabet', `_-_-${base64.slice(4)}`],
    ['bits after the end', Buffer.from('<a/>x').toString('base64').replace(/..$/, 'B=')],
    ['nothing but padding', '===='],
    ['a byte order mark', Buffer.from(`\uFEFF${honest.xml}`).toString('base64')],
    ['bytes that are not UTF-8', Buffer.from(honest.xml, 'utf16le').toString('base64')],
    ['Latin-1', Buffer.from(honest.xml.replace('alice', 'ålice'), 'latin1').toString('base64')],
  ])('is refused with %s', async (_, SAMLResponse) => {
    await expect(finish({ SAMLResponse })).rejects.toMatchObject({ code: 'malformed' })
  })

  it('is refused when absent, or when it did not arrive by POST', async () => {
    await expect(finish({})).rejects.toMatchObject({ code: 'malformed' })
    await expect(finish({ SAMLResponse: base64 }, 'GET')).rejects.toMatchObject({ code: 'malformed' })
  })
})

/** Element-heavy documents with an unverifiable signature: node-saml needs 4 s to 161 s for these sizes. */
const quadratic = (kilobytes: number): string => {
  const filler = '<a/>'.repeat((kilobytes * 1024) / 4)
  return honest.xml.replace('</saml:Assertion>', `${filler}</saml:Assertion>`)
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

describe('work before a signature holds', () => {
  it.each([80, 220, 660])('is bounded: a garbage document of %i KB never reaches node-saml', async (size) => {
    const opinion = counted()
    const xml = quadratic(size)
    const times: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const start = performance.now()
      await expect(post(xml, fixtureParams, { ask: opinion.ask })).rejects.toMatchObject({
        code: 'malformed',
        detail: { kind: 'too_large' },
      })
      times.push(performance.now() - start)
    }
    expect(opinion.calls()).toBe(0)
    expect(median(times)).toBeLessThan(50)
  })

  it.each([
    ['elements', '<saml:a/>'.repeat(2100)],
    ['nested elements', '<saml:a>'.repeat(30) + '</saml:a>'.repeat(30)],
    ['attributes of one element', `<saml:a ${Array.from({ length: 40 }, (_, n) => `b${n}=""`).join(' ')}/>`],
    ['attributes', `<saml:a ${Array.from({ length: 30 }, (_, n) => `b${n}=""`).join(' ')}/>`.repeat(300)],
    ['different element names', Array.from({ length: 120 }, (_, n) => `<saml:n${n}/>`).join('')],
  ])('stops at too many %s', async (what, filler) => {
    const xml = honest.xml.replace('</saml:Assertion>', `${filler}</saml:Assertion>`)
    await expect(post(xml)).rejects.toMatchObject({ detail: { kind: 'too_large', received: what } })
  })

  it('is linear in the size of a signed document, up to the largest that is admitted', async () => {
    const signer = await createSigner()
    const groups = (count: number): string => {
      const values = '<saml:AttributeValue>0123456789012345678901234567890123456789</saml:AttributeValue>'
      const attributes = `<saml:Attribute Name="groups">${values.repeat(count)}</saml:Attribute>`
      return signed(toXml(shape({ attributes })), 'assertion', signer)
    }
    const cost = (xml: string): number => {
      const options = {
        certificates: [signer.certificate],
        allowExpiredCertificates: false,
        decryption: { keys: [], allowCbc: false },
        now: new Date(fixtureParams.now),
      }
      const rounds = Array.from({ length: 9 }, () => {
        const start = performance.now()
        readResponse(xml, options)
        return performance.now() - start
      })
      // The quickest round: what else the machine does adds, and never subtracts.
      return Math.min(...rounds)
    }
    const [small, large] = [groups(240), groups(1900)]
    cost(small)
    // Eight times the size: quadratic work would take 64 times as long.
    expect(cost(large) / cost(small)).toBeLessThan(30)
  })
})

describe('the admitted XML', () => {
  it('lets an XML declaration and a trailing line through', async () => {
    const xml = `<?xml version='1.0' encoding='utf-8' standalone="no" ?>\r\n${honest.xml}\n`
    await expect(post(xml)).resolves.toMatchObject({ subject: 'alice-4711' })
  })

  it('decodes to the very text that was sent', () => {
    expect(decodeMessage(Buffer.from(honest.xml).toString('base64'))).toBe(honest.xml)
  })

  it('keeps attribute names that are poison elsewhere as plain names', async () => {
    const signer = await createSigner()
    const poison = ['__proto__', 'constructor', 'nameID', 'toString']
      .map(
        (name) =>
          `<saml:Attribute Name="${name}"><saml:AttributeValue>x</saml:AttributeValue></saml:Attribute>`,
      )
      .join('')
    const xml = signed(toXml(shape({ attributes: poison })), 'assertion', signer)
    const identity = await post(xml, fixtureParams, { pems: [signer.certificate] })
    expect(identity.subject).toBe('alice-4711')
    expect(Object.getPrototypeOf(identity.attributes)).toBeNull()
    expect(Object.keys(identity.attributes)).toEqual(['__proto__', 'constructor', 'nameID', 'toString'])
  })
})
