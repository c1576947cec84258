/**
 * Our key pairs of a connection: one that signs requests, another that IdPs encrypt to. Never one key for both: what
 * one protocol decrypts is what the other signs. Both can be replaced without a moment at which an IdP is refused.
 */
// tsyringe, under @peculiar/x509, demands it before it loads.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { type SamlConfig, SP_DECRYPTION_KEYS, SP_NEXT_PRIVATE_KEY, SP_PRIVATE_KEY } from './config.ts'

const KEY_ALGORITHM = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
}
// The IdP pins this certificate; nothing checks its dates, and a short life would only break sign-ins one day.
const YEARS = 20
const BACKDATED_MS = 24 * 60 * 60 * 1000
/** What was encrypted to a retired key is still on its way, or its IdP reads our metadata once a day. */
const DECRYPTION_KEYS = 2

/** PEM, both. */
export type KeyPair = { certificate: string; privateKey: string }

export const createKeyPair = async (purpose: 'signing' | 'encryption'): Promise<KeyPair> => {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
  const now = Date.now()
  const notAfter = new Date(now)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + YEARS)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex')}`,
      name: `CN=Portico service provider, OU=${purpose}`,
      notBefore: new Date(now - BACKDATED_MS),
      notAfter,
      signingAlgorithm: KEY_ALGORITHM,
      keys,
    },
    webcrypto as Crypto,
  )
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificate: certificate.toString('pem'),
    privateKey: `${x509.PemConverter.encode(privateKey, 'PRIVATE KEY').trim()}\n`,
  }
}

type Secrets = Readonly<Record<string, string>>
/** To be merged into a connection's config and secrets. */
export type KeyChange = { config: Partial<SamlConfig>; secrets: Record<string, string> }

/** The private keys that open what IdPs encrypt; none on a connection that was made without. */
export const decryptionKeys = (secrets: Secrets): string[] =>
  secrets[SP_DECRYPTION_KEYS]?.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? []

/** A new encryption key, current at once; the one before it still opens what IdPs encrypt to it. */
export const rotateEncryptionKey = async (config: SamlConfig, secrets: Secrets): Promise<KeyChange> => {
  const { certificate, privateKey } = await createKeyPair('encryption')
  const keys = [privateKey, ...decryptionKeys(secrets)].slice(0, DECRYPTION_KEYS)
  return {
    config: {
      encryptionCertificates: [certificate, ...config.encryptionCertificates].slice(0, DECRYPTION_KEYS),
    },
    secrets: { [SP_DECRYPTION_KEYS]: keys.join('\n') },
  }
}

/** The next signing key: published, not used, until IdPs have read our metadata again. */
export const announceSigningKey = async (): Promise<KeyChange> => {
  const { certificate, privateKey } = await createKeyPair('signing')
  return { config: { nextSpCertificate: certificate }, secrets: { [SP_NEXT_PRIVATE_KEY]: privateKey } }
}

/** Signs with the announced key from now on; null where none was. */
export const switchSigningKey = (config: SamlConfig, secrets: Secrets): KeyChange | null => {
  const next = secrets[SP_NEXT_PRIVATE_KEY]
  if (config.nextSpCertificate === null || !next) return null
  return {
    config: { spCertificate: config.nextSpCertificate, nextSpCertificate: null },
    secrets: { [SP_PRIVATE_KEY]: next, [SP_NEXT_PRIVATE_KEY]: '' },
  }
}
