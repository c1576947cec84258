/**
 * The strict reader: one linear parse, one admitted shape, signatures verified, and every claim read from the text
 * that was verified, never from the document that arrived. Its work is linear in the size of the document; what is
 * not signed by the connection's IdP costs a scan, a parse and at most two RSA operations per certificate.
 */
import { refusal } from '../connections/contract.ts'
import { readCertificate, type SigningCertificate } from './certificates.ts'
import { type Assertion, type Envelope, readAssertion, readEnvelope } from './claims.ts'
import { type DecryptionPolicy, decryptAssertion, decryptionFailed } from './decryption.ts'
import { NAMESPACES, SUCCESS } from './names.ts'
import { checkDocument, children, demandId, demandNamed, MODELS } from './shape.ts'
import { type VerifyInput, verifySignature } from './signature.ts'
import type { ScanFault, ScanLimits } from './xml-scan.ts'
import { isNamed, readXml } from './xml-tree.ts'

const MAX_BYTES = 256 * 1024

const LIMITS: ScanLimits = {
  characters: MAX_BYTES,
  elements: 2000,
  depth: 24,
  attributes: 32,
  // Three for each value of a list of 2,000 groups (xsi:type and two namespaces), and the rest.
  allAttributes: 8000,
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
  /** What the second reader is to be shown. */
  opinion: OpinionDocument
}

export type OpinionDocument = {
  xml: string
  /** Where in it the signatures are that held. */
  signed: { response: boolean; assertion: boolean }
  /** Its assertion is unsigned and encrypted, so that only the signature around it can be judged. */
  encrypted: boolean
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

const refuseUnsigned = (): Error =>
  refusal('signature_missing', { expected: 'a signed Response or Assertion', received: 'neither' })

type Body = { plain: Element } | { encrypted: Element }

/** The one Assertion or EncryptedAssertion, or the refusal that says why there is none. */
const demandBody = (root: Element): Body => {
  const parts = children(root, MODELS.response)
  const [assertion] = parts['saml:Assertion']
  const [encrypted] = parts['saml:EncryptedAssertion']
  if (encrypted && assertion) {
    throw refusal('structure_refused', {
      expected: 'one assertion',
      received: 'a plain and an encrypted one',
    })
  }
  if (encrypted) return { encrypted }
  if (assertion) return { plain: assertion }
  // An IdP that refuses sends no assertion and often no signature: saying so lets nobody in.
  const { status } = readEnvelope(root)
  if (status[0] !== SUCCESS) throw refusal('idp_refused', { expected: SUCCESS, received: status })
  throw refusal('structure_refused', { expected: 'an Assertion', received: 'none' })
}

const verified = (element: Element, signature: Element | undefined, input: VerifyInput): Element | null =>
  signature ? readXml(verifySignature(element, signature, input), LIMITS, refuseFault) : null

const signatureOf = (assertion: Element): Element | undefined =>
  children(assertion, MODELS.assertion)['ds:Signature'][0]

type Opened = {
  /** With the signature in it, if it has one. */
  arrived: Element
  /** The same, from the text that a Response signature vouches for, if there is one. */
  vouched: Element
  /** What was decrypted to get there. */
  text: string | null
}

/**
 * That the plaintext is well-formed is part of having decrypted: said apart, it would tell who tampers with a
 * ciphertext how near it came.
 */
const openBody = (
  body: Body,
  signedResponse: Element | null,
  policy: DecryptionPolicy,
  ids: Set<string>,
): Opened => {
  const vouched = signedResponse ? demandBody(signedResponse) : body
  if ('plain' in vouched) {
    const arrived = 'plain' in body ? body.plain : vouched.plain
    return { arrived, vouched: vouched.plain, text: null }
  }
  const text = decryptAssertion(vouched.encrypted, signedResponse !== null, policy)
  const element = readXml(text, LIMITS, decryptionFailed)
  if (!isNamed(element, 'saml', 'Assertion')) throw decryptionFailed()
  checkDocument(element, ids)
  return { arrived: element, vouched: element, text: text.replace(/^<\?xml[^>]*>/, '') }
}

/** node-saml sees what was signed: the message as it came, or the assertion that was inside. */
const opinionOn = (xml: string, signed: ReadResponse['signed'], text: string | null): OpinionDocument => {
  if (text === null) return { xml, signed, encrypted: false }
  if (!signed.assertion) return { xml, signed, encrypted: true }
  const wrapped = `<samlp:Response xmlns:samlp="${NAMESPACES.samlp}" ID="_decrypted" Version="2.0">${text}</samlp:Response>`
  return { xml: wrapped, signed: { response: false, assertion: true }, encrypted: false }
}

export type ReadOptions = {
  /** PEM. The IdP's. */
  certificates: readonly string[]
  allowExpiredCertificates: boolean
  decryption: DecryptionPolicy
  now: Date
}

/**
 * Reads and verifies a response document. A Response signature is verified first, before anything is decrypted.
 * @throws AppError made by `refusal`: `malformed`, `structure_refused`, `signature_missing`, `signature_invalid`,
 * `algorithm_refused`, `certificate_unusable`, `certificate_expired`, `encrypted_assertion_refused`,
 * `decryption_failed`, `idp_refused`
 */
export const readResponse = (xml: string, options: ReadOptions): ReadResponse => {
  const ids = new Set<string>()
  const root = readXml(xml, LIMITS, refuseFault)
  demandNamed(root, 'samlp', 'Response')
  demandId(root)
  checkDocument(root, ids)
  const body = demandBody(root)
  const [responseSignature] = children(root, MODELS.response)['ds:Signature']
  if (!responseSignature && 'plain' in body && !signatureOf(body.plain)) throw refuseUnsigned()
  const input = {
    certificates: usableCertificates(options.certificates),
    allowExpired: options.allowExpiredCertificates,
    now: options.now,
    limits: LIMITS,
    refuse: refuseFault,
  }
  // Outermost first: canonicalising the Assertion writes the namespaces it inherits into the tree.
  const signedResponse = verified(root, responseSignature, input)
  const { arrived, vouched, text } = openBody(body, signedResponse, options.decryption, ids)
  demandId(arrived)
  const assertionSignature = signatureOf(arrived)
  if (!signedResponse && !assertionSignature) throw refuseUnsigned()
  const assertion = verified(arrived, assertionSignature, input) ?? vouched
  const signed = { response: signedResponse !== null, assertion: assertionSignature !== undefined }
  return {
    envelope: readEnvelope(signedResponse ?? root),
    assertion: readAssertion(assertion),
    signed,
    opinion: opinionOn(xml, signed, text),
  }
}
