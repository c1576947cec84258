/**
 * The strict reader: one linear parse, one admitted shape, signatures verified, and every claim read from the text
 * that was verified, never from the document that arrived. Its work is linear in the size of the document; what is
 * not signed by the connection's IdP costs a scan, a parse and at most two RSA operations per certificate.
 */
import { refusal } from '../connections/contract.ts'
import { readCertificate, type SigningCertificate } from './certificates.ts'
import { type Assertion, type Envelope, readAssertion, readEnvelope } from './claims.ts'
import { SUCCESS } from './names.ts'
import { checkDocument, children, demandId, demandNamed, MODELS } from './shape.ts'
import { type VerifyInput, verifySignature } from './signature.ts'
import type { ScanFault, ScanLimits } from './xml-scan.ts'
import { readXml } from './xml-tree.ts'

const MAX_BYTES = 256 * 1024

const LIMITS: ScanLimits = {
  characters: MAX_BYTES,
  elements: 2000,
  depth: 24,
  attributes: 32,
  names: 100,
  comments: false,
}

const refuseFault = ({ kind, what, at }: ScanFault): Error =>
  refusal(kind === 'refused' ? 'structure_refused' : 'malformed', { kind, received: what, at })

export type ReadResponse = {
  envelope: Envelope
  assertion: Assertion
  /** Where a signature stood and held. */
  signed: { response: boolean; assertion: boolean }
}

/**
 * The document in a SAMLResponse parameter: base64 (RFC 2045 line breaks admitted) of UTF-8.
 * @throws AppError `malformed`
 */
export const decodeMessage = (parameter: string): string => {
  // A third more than the cap, and line breaks: what is longer is not even decoded.
  if (parameter.length > MAX_BYTES * 1.5) throw refuseFault({ kind: 'too_large', what: 'the message', at: 0 })
  const text = parameter.replace(/\r?\n/g, '')
  const bytes = Buffer.from(text, 'base64')
  // Node skips junk and reads base64url: only the spelling that these bytes encode to is taken.
  if (bytes.length === 0 || bytes.toString('base64') !== text) {
    throw refusal('malformed', { expected: 'base64', received: 'other text' })
  }
  if (bytes.length > MAX_BYTES) throw refuseFault({ kind: 'too_large', what: 'the message', at: 0 })
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw refusal('malformed', { expected: 'UTF-8', received: 'other bytes' }, cause)
  }
}

/** @throws AppError `certificate_unusable` where none of the connection's certificates can be */
const usableCertificates = (pems: readonly string[]): SigningCertificate[] => {
  const read = pems.map((pem) => readCertificate(pem))
  const usable = read.filter((certificate) => 'key' in certificate)
  if (usable.length > 0) return usable
  throw refusal('certificate_unusable', {
    expected: 'an RSA certificate of at least 2048 bits',
    received: read.map((certificate) => ('found' in certificate ? certificate.found : '')),
  })
}

/** The one Assertion, or the refusal that says why there is none. */
const demandAssertion = (root: Element): Element => {
  const parts = children(root, MODELS.response)
  const [assertion] = parts['saml:Assertion']
  const encrypted = parts['saml:EncryptedAssertion'].length
  if (encrypted > 0 && assertion) {
    throw refusal('structure_refused', {
      expected: 'one assertion',
      received: 'a plain and an encrypted one',
    })
  }
  if (encrypted > 0) {
    throw refusal('encrypted_assertion_refused', { expected: 'Assertion', received: 'EncryptedAssertion' })
  }
  if (assertion) return assertion
  // An IdP that refuses sends no assertion and often no signature: saying so lets nobody in.
  const { status } = readEnvelope(root)
  if (status[0] !== SUCCESS) throw refusal('idp_refused', { expected: SUCCESS, received: status })
  throw refusal('structure_refused', { expected: 'an Assertion', received: 'none' })
}

const verified = (element: Element, signature: Element | undefined, input: VerifyInput): Element | null =>
  signature ? readXml(verifySignature(element, signature, input), LIMITS, refuseFault) : null

/**
 * Reads and verifies a response document.
 * @throws AppError made by `refusal`: `malformed`, `structure_refused`, `signature_missing`, `signature_invalid`,
 * `algorithm_refused`, `certificate_unusable`, `encrypted_assertion_refused`, `idp_refused`
 */
export const readResponse = (
  xml: string,
  options: { certificates: readonly string[]; now: Date },
): ReadResponse => {
  const root = readXml(xml, LIMITS, refuseFault)
  demandNamed(root, 'samlp', 'Response')
  demandId(root)
  checkDocument(root)
  const assertion = demandAssertion(root)
  demandId(assertion)
  const [responseSignature] = children(root, MODELS.response)['ds:Signature']
  const [assertionSignature] = children(assertion, MODELS.assertion)['ds:Signature']
  if (!responseSignature && !assertionSignature) {
    throw refusal('signature_missing', { expected: 'a signed Response or Assertion', received: 'neither' })
  }
  const input = {
    certificates: usableCertificates(options.certificates),
    now: options.now,
    limits: LIMITS,
    refuse: refuseFault,
  }
  // Outermost first: canonicalising the Assertion writes the namespaces it inherits into the tree.
  const signedResponse = verified(root, responseSignature, input)
  const signedAssertion =
    verified(assertion, assertionSignature, input) ?? demandAssertion(signedResponse as Element)
  return {
    envelope: readEnvelope(signedResponse ?? root),
    assertion: readAssertion(signedAssertion),
    signed: { response: signedResponse !== null, assertion: assertionSignature !== undefined },
  }
}
