import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newUuid } from '../../src/core/ids.ts'
import { type CredentialKind, mintCredential, parseCredential } from '../../src/crypto/credentials.ts'
import { equalBytes, sha256 } from '../../src/crypto/hash.ts'

const kinds: CredentialKind[] = ['session', 'code', 'refresh', 'scim', 'client']
const copiedAbout: CredentialKind[] = ['scim', 'client']
const keptApart: CredentialKind[] = ['session', 'code', 'refresh']

const acme = newUuid()
const kind = fc.constantFrom(...kinds)

/** Gives a spoilt token of the copied-about kinds a checksum that holds, so that the next check is what refuses it. */
const rechecked = (token: string): string => {
  if (!/^ptc_[a-z]+_live_/.test(token)) return token
  const body = token.slice(0, -8)
  return `${body}${crc32(body).toString(16).padStart(8, '0')}`
}

describe('a credential', () => {
  test('is parsed to the organisation, row and hash that it was made with', () => {
    fc.assert(
      fc.property(kind, fc.option(fc.uuid()), fc.uuid(), (of, org, row) => {
        const minted = mintCredential(of, org, row)
        const parsed = parseCredential(of, minted.token)
        expect(parsed).toMatchObject({ orgId: org, id: row })
        expect(minted.id).toBe(row)
        expect(equalBytes(parsed?.hash as Buffer, minted.hash)).toBe(true)
      }),
    )
  })

  test('carries 256 random bits, of which storage keeps a hash only', () => {
    const [one, two] = [mintCredential('scim', acme), mintCredential('scim', acme)]
    const secret = parseCredential('scim', one.token)?.secret as Buffer
    expect(secret).toHaveLength(32)
    expect(parseCredential('scim', two.token)?.secret).not.toEqual(secret)
    expect(one.hash).toHaveLength(32)
    expect(one.hash).not.toEqual(sha256(secret))
    expect(one.id).not.toBe(two.id)
  })

  test.each(copiedAbout)('of kind %s has a shape and a checksum that a secret scanner can find', (of) => {
    expect(mintCredential(of, acme).token).toMatch(
      new RegExp(`^ptc_${of}_live_[0-9a-f]{64}_[A-Za-z0-9_-]{43}[0-9a-f]{8}$`),
    )
  })

  test.each(keptApart)('of kind %s is short and fit for a cookie or a URL', (of) => {
    const { token } = mintCredential(of, acme)
    expect(token).toMatch(new RegExp(`^ptc_${of}_[0-9a-f]{64}[A-Za-z0-9_-]{43}$`))
    expect(encodeURIComponent(token)).toBe(token)
  })

  test.each(kinds)('of kind %s is none of any other kind, even renamed', (of) => {
    const { token } = mintCredential(of, acme)
    for (const other of kinds.filter((each) => each !== of)) {
      expect(parseCredential(other, token)).toBeNull()
    }
    expect(parseCredential(of, token)).not.toBeNull()
  })

  test('renamed to another kind of the same shape fails its checksum', () => {
    const { token } = mintCredential('scim', acme)
    expect(parseCredential('client', token.replace('ptc_scim', 'ptc_client'))).toBeNull()
  })

  test.each(copiedAbout)('of kind %s is refused with any one character changed', (of) => {
    const { token } = mintCredential(of, acme)
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...'0aA_-9fZ'), (at, character) => {
        fc.pre(token[at] !== character)
        expect(parseCredential(of, `${token.slice(0, at)}${character}${token.slice(at + 1)}`)).toBeNull()
      }),
    )
  })

  test.each(kinds)('of kind %s is refused in any spelling but the one that was issued', (of) => {
    const { token } = mintCredential(of, acme)
    // The last of 43 base64url characters carries two bits that decode to nothing: three more spellings per secret.
    const last = of === 'scim' || of === 'client' ? token.length - 9 : token.length - 1
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const value = alphabet.indexOf(token[last] as string)
    expect(value % 4).toBe(0)
    for (const spare of [1, 2, 3]) {
      const respelt = `${token.slice(0, last)}${alphabet[value + spare]}${token.slice(last + 1)}`
      expect(parseCredential(of, rechecked(respelt))).toBeNull()
    }
    expect(parseCredential(of, rechecked(token))).not.toBeNull()
  })

  test.each(kinds)('of kind %s is refused with anything around it', (of) => {
    const { token } = mintCredential(of, acme)
    for (const spoilt of [` ${token}`, `${token} `, `${token}\n`, token.toUpperCase(), token.slice(1), '']) {
      expect(parseCredential(of, spoilt)).toBeNull()
    }
    expect(parseCredential(of, token + 'a'.repeat(1_000_000))).toBeNull()
  })

  test('of one organisation does not match its hash when it names another organisation, or none', () => {
    const minted = mintCredential('session', acme)
    const org = acme.replaceAll('-', '')
    for (const other of [newUuid().replaceAll('-', ''), '0'.repeat(32)]) {
      const moved = parseCredential('session', minted.token.replace(org, other))
      expect(moved).not.toBeNull()
      expect(equalBytes(moved?.hash as Buffer, minted.hash)).toBe(false)
    }
  })

  test('of one row does not match its hash when it names another row', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (row, other) => {
        fc.pre(row !== other)
        const minted = mintCredential('scim', acme, row)
        const elsewhere = rechecked(minted.token.replace(row.replaceAll('-', ''), other.replaceAll('-', '')))
        const parsed = parseCredential('scim', elsewhere)
        expect(parsed?.id).toBe(other)
        expect(equalBytes(parsed?.hash as Buffer, minted.hash)).toBe(false)
      }),
    )
  })

  test('is not found in what nobody minted', () => {
    fc.assert(
      fc.property(kind, fc.string(), (of, noise) => {
        expect(parseCredential(of, noise)).toBeNull()
        expect(parseCredential(of, `ptc_${of}_live_${noise}`)).toBeNull()
      }),
    )
  })
})
