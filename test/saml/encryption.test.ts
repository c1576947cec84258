import { createPrivateKey, X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { SP_DECRYPTION_KEYS, SP_PRIVATE_KEY } from '../../src/saml/config.ts'
import {
  announceSigningKey,
  createKeyPair,
  decryptionKeys,
  rotateEncryptionKey,
  switchSigningKey,
} from '../../src/saml/sp-keys.ts'
import { counted, encryptionKey, fixtures, post, readFixture, samlConnection } from './fixture-connection.ts'

const gcm = readFixture('good', 'keycloak-encrypted')
const responseSigned = readFixture('good', 'shibboleth-encrypted')

const belongs = (certificate: string | undefined, key: string | undefined): boolean =>
  new X509Certificate(certificate ?? '').checkPrivateKey(createPrivateKey(key ?? ''))

describe('an encrypted assertion', () => {
  it('is refused with the remedy where the connection has no key, as one made before there were any', async () => {
    const secrets = { [SP_DECRYPTION_KEYS]: '' }
    await expect(post(gcm.xml, gcm.params, { secrets })).rejects.toMatchObject({
      code: 'encrypted_assertion_refused',
      detail: { fix: expect.stringContaining('Switch encryption off') },
    })
    const plain = readFixture('good', 'assertion-signed')
    await expect(post(plain.xml, plain.params, { secrets })).resolves.toMatchObject({ subject: 'alice-4711' })
  })

  it('is opened with a previous key while that overlaps', async () => {
    const { privateKey } = await createKeyPair('encryption')
    const secrets = { [SP_DECRYPTION_KEYS]: `${privateKey}${encryptionKey()}` }
    await expect(post(gcm.xml, gcm.params, { secrets })).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(
      post(gcm.xml, gcm.params, { secrets: { [SP_DECRYPTION_KEYS]: privateKey } }),
    ).rejects.toMatchObject({ code: 'decryption_failed' })
  })

  it('is shown to node-saml as it was signed: decrypted, or only the signature around it', async () => {
    const seen: unknown[] = []
    const { ask } = counted()
    const watch: typeof ask = async (request) => {
      const opinion = await ask(request)
      seen.push([request.encrypted, request.xml.includes('EncryptedAssertion'), opinion])
      return opinion
    }
    await post(gcm.xml, gcm.params, { ask: watch })
    await post(responseSigned.xml, responseSigned.params, { ask: watch })
    expect(seen).toEqual([
      [false, false, { accepted: true, subject: 'alice-4711' }],
      [true, true, { accepted: true, subject: null }],
    ])
  })

  it('is refused where the second reader names a subject of what it could not read, or does not agree', async () => {
    const named = async () => ({ accepted: true as const, subject: 'alice-4711' })
    await expect(post(responseSigned.xml, responseSigned.params, { ask: named })).rejects.toMatchObject({
      code: 'opinions_differ',
    })
    const nameless = async () => ({ accepted: true as const, subject: null })
    await expect(post(gcm.xml, gcm.params, { ask: nameless })).rejects.toMatchObject({
      code: 'opinions_differ',
    })
  })
})

describe('what fails to decrypt', () => {
  const failing = fixtures('bad').filter(({ params }) => params.reason === 'decryption_failed')

  it('gives one error, whatever the cause', async () => {
    const errors = await Promise.all(
      failing.map(({ xml, params }) => post(xml, params).catch((error: unknown) => error)),
    )
    expect(errors.length).toBeGreaterThanOrEqual(7)
    const said = errors.map((error) =>
      error instanceof AppError
        ? JSON.stringify([error.kind, error.code, error.message, error.detail, error.cause ?? null])
        : 'another',
    )
    expect(new Set(said).size).toBe(1)
    expect(said[0]).toContain('decryption_failed')
  })

  it('is not reached by content without integrity: a broken signature is told first', async () => {
    const { xml, params } = readFixture('bad', 'encrypted-cbc-changed-under-signature')
    const outcome = await post(xml, params).catch((error: unknown) => error)
    expect(outcome).toMatchObject({ code: 'signature_invalid', detail: { element: 'Response' } })
  })
})

describe('our keys', () => {
  it('are two pairs, never one for both purposes', async () => {
    const { config, secrets } = await samlConnection.draft()
    const [encryption] = config.encryptionCertificates
    expect(belongs(config.spCertificate, secrets[SP_PRIVATE_KEY])).toBe(true)
    expect(belongs(encryption, secrets[SP_DECRYPTION_KEYS])).toBe(true)
    expect(belongs(encryption, secrets[SP_PRIVATE_KEY])).toBe(false)
    expect(Object.keys(secrets).every((name) => samlConnection.secretFields.includes(name))).toBe(true)
  })

  it('for encryption are replaced with overlap of one', async () => {
    const first = await samlConnection.draft()
    const rotate = async ({ config, secrets }: typeof first) => {
      const change = await rotateEncryptionKey(config, secrets)
      return {
        config: samlConnection.config.parse({ ...config, ...change.config }),
        secrets: { ...secrets, ...change.secrets },
      }
    }
    const second = await rotate(first)
    const third = await rotate(second)
    expect(second.config.encryptionCertificates[1]).toBe(first.config.encryptionCertificates[0])
    expect(decryptionKeys(second.secrets)).toHaveLength(2)
    expect(third.config.encryptionCertificates).not.toContain(first.config.encryptionCertificates[0])
    for (const { config, secrets } of [first, second, third]) {
      const keys = decryptionKeys(secrets)
      expect(config.encryptionCertificates.map((pem, index) => belongs(pem, keys[index]))).toEqual(
        keys.map(() => true),
      )
    }
  })

  it('for signing are announced before they are used', async () => {
    const { config, secrets } = await samlConnection.draft()
    expect(switchSigningKey(config, secrets)).toBeNull()
    const announced = await announceSigningKey()
    const between = { ...config, ...announced.config }
    const switched = switchSigningKey(between, { ...secrets, ...announced.secrets })
    expect(between.spCertificate).toBe(config.spCertificate)
    expect(switched?.config).toEqual({
      spCertificate: announced.config.nextSpCertificate,
      nextSpCertificate: null,
    })
    expect(belongs(switched?.config.spCertificate, switched?.secrets[SP_PRIVATE_KEY])).toBe(true)
  })
})
