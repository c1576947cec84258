/** The IdP's signing certificates: which are fit to be trusted, and what is wrong with the others. */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { parsedOnce } from '../crypto/parsed.ts'

const MINIMUM_RSA_BITS = 2048

export type SigningCertificate = {
  pem: string
  key: KeyObject
  notBefore: Date
  notAfter: Date
  /** SHA-256, upper-case hex with colons: what an admin sees at the IdP. */
  fingerprint: string
}

const open = (certificate: string | Buffer): X509Certificate | null => {
  try {
    return new X509Certificate(certificate)
  } catch {
    return null
  }
}

type ReadCertificate = SigningCertificate | { fault: 'unreadable' | 'weak'; found: string }

/**
 * Reads a certificate, as PEM or DER.
 * @returns what was expected and found instead where it cannot be used at all: its dates are for the moment of use
 */
export const readCertificate = (certificate: string | Buffer): ReadCertificate =>
  typeof certificate === 'string' ? readPem(certificate) : read(certificate)

const read = (certificate: string | Buffer): ReadCertificate => {
  const opened = open(certificate)
  if (!opened) return { fault: 'unreadable', found: 'something that is not an X.509 certificate' }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = opened.publicKey
  const bits = details?.modulusLength ?? 0
  if (type !== 'rsa') return { fault: 'weak', found: `a key of type ${type ?? 'unknown'}` }
  if (bits < MINIMUM_RSA_BITS) return { fault: 'weak', found: `an RSA key of ${bits} bits` }
  return {
    pem: opened.toString(),
    key: opened.publicKey,
    notBefore: new Date(opened.validFrom),
    notAfter: new Date(opened.validTo),
    fingerprint: opened.fingerprint256,
  }
}

/** The connections' own, read again at every sign-in. */
const readPem = parsedOnce(read)

export const isInForce = (certificate: SigningCertificate, now: Date): boolean =>
  certificate.notBefore <= now && now <= certificate.notAfter
