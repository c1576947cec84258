/**
 * XML Signature, the part of it that SAML uses: one reference, to the parent; enveloped and exclusive
 * canonicalisation; RSA with SHA-2; keys from the connection. The canonicalisation is xml-crypto's, the rest is
 * node:crypto. What comes out is the text that was verified, and only that is ever read for claims.
 */
import { createHash, verify } from 'node:crypto'
import { ExclusiveCanonicalization } from 'xml-crypto'
import { refusal } from '../connections/contract.ts'
import { equalBytes } from '../crypto/hash.ts'
import { isInForce, type SigningCertificate } from './certificates.ts'
import { DIGEST_HASHES, ENVELOPED, EXCLUSIVE_C14N, SIGNATURE_HASHES } from './names.ts'
import { children, demandId, leafText, MODELS } from './shape.ts'
import type { ScanFault, ScanLimits } from './xml-scan.ts'
import { attributeOf, readXml } from './xml-tree.ts'

const MAX_PREFIXES = 32

type SignedInfo = {
  prefixes: string[]
  signatureHash: string
  uri: string
  transformPrefixes: string[]
  digestHash: string
  digest: Buffer
}

const first = (elements: Element[]): Element => elements[0] as Element

const algorithmOf = (element: Element): string => attributeOf(element, 'Algorithm') ?? 'none'

const refuseAlgorithm = (place: string, expected: string, received: string): Error =>
  refusal('algorithm_refused', { place, expected, received: received.slice(0, 200) })

const hashOf = (element: Element, admitted: ReadonlyMap<string, string>): string => {
  const algorithm = algorithmOf(element)
  const hash = admitted.get(algorithm)
  if (hash === undefined) {
    throw refuseAlgorithm(element.localName, [...admitted.keys()].join(' or '), algorithm)
  }
  children(element, MODELS.algorithm)
  return hash
}

/** Base64 with line breaks, every bit of it meaningful: of the spellings that decode alike one is taken. */
const readBase64 = (element: Element, model: typeof MODELS.text | typeof MODELS.signatureValue): Buffer => {
  const text = leafText(element, model).replace(/[ \t\r\n]/g, '')
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 || bytes.toString('base64') !== text) {
    throw refusal('signature_invalid', {
      element: element.localName,
      expected: 'base64',
      received: 'other text',
    })
  }
  return bytes
}

/** The PrefixList of an exclusive canonicalisation (Okta, ADFS and others send one). */
const readPrefixes = (element: Element): string[] => {
  if (algorithmOf(element) !== EXCLUSIVE_C14N) {
    throw refuseAlgorithm(element.localName, EXCLUSIVE_C14N, algorithmOf(element))
  }
  const [inclusive] = children(element, MODELS.canonicalization)['ec:InclusiveNamespaces']
  if (!inclusive) return []
  children(inclusive, MODELS.inclusiveNamespaces)
  const prefixes = (attributeOf(inclusive, 'PrefixList') ?? '')
    .split(/[ \t\r\n]+/)
    .filter((name) => name !== '')
  if (prefixes.length > MAX_PREFIXES) {
    throw refuseAlgorithm('InclusiveNamespaces', `at most ${MAX_PREFIXES} prefixes`, String(prefixes.length))
  }
  return prefixes
}

const readTransforms = (element: Element): string[] => {
  const transforms = children(element, MODELS.transforms)['ds:Transform']
  const [enveloped, canonical] = transforms
  if (transforms.length !== 2 || !enveloped || !canonical || algorithmOf(enveloped) !== ENVELOPED) {
    throw refuseAlgorithm(
      'Transforms',
      `${ENVELOPED}, ${EXCLUSIVE_C14N}`,
      transforms.map(algorithmOf).join(', '),
    )
  }
  const prefixes = readPrefixes(canonical)
  children(enveloped, MODELS.algorithm)
  return prefixes
}

const readSignedInfo = (signedInfo: Element): SignedInfo => {
  const parts = children(signedInfo, MODELS.signedInfo)
  const reference = first(parts['ds:Reference'])
  const referenced = children(reference, MODELS.reference)
  return {
    prefixes: readPrefixes(first(parts['ds:CanonicalizationMethod'])),
    signatureHash: hashOf(first(parts['ds:SignatureMethod']), SIGNATURE_HASHES),
    uri: attributeOf(reference, 'URI') ?? '',
    transformPrefixes: readTransforms(first(referenced['ds:Transforms'])),
    digestHash: hashOf(first(referenced['ds:DigestMethod']), DIGEST_HASHES),
    digest: readBase64(first(referenced['ds:DigestValue']), MODELS.text),
  }
}

type Binding = { prefix: string; namespaceURI: string }

/** Namespace declarations in force at an element and not made by it, nearest first; none given twice. */
const inheritedBindings = (element: Element): Binding[] => {
  const seen = new Set(declarationsOf(element).map(({ prefix }) => prefix))
  const found: Binding[] = []
  for (let node = element.parentNode as Element | null; node?.attributes; node = node.parentNode as Element) {
    for (const binding of declarationsOf(node)) {
      if (seen.has(binding.prefix)) continue
      seen.add(binding.prefix)
      found.push(binding)
    }
  }
  return found
}

const declarationsOf = (element: Element): Binding[] =>
  Array.from(element.attributes)
    .filter(({ name, prefix }) => name === 'xmlns' || prefix === 'xmlns')
    .map(({ name, localName, value }) => ({
      prefix: name === 'xmlns' ? '' : (localName ?? ''),
      namespaceURI: value,
    }))

/** Exclusive canonicalisation of a subtree. @throws AppError `algorithm_refused` for what the library leaves out */
const canonicalise = (element: Element, prefixes: string[]): string => {
  const inherited = prefixes.length === 0 ? [] : inheritedBindings(element)
  // The library does not know `#default`; where no default namespace is inherited it asks for nothing.
  if (prefixes.includes('#default') && inherited.some(({ prefix }) => prefix === '')) {
    throw refuseAlgorithm('InclusiveNamespaces', 'prefixes', '#default under a default namespace')
  }
  const text = new ExclusiveCanonicalization().process(element, {
    inclusiveNamespacesPrefixList: prefixes,
    ancestorNamespaces: inherited,
  })
  // A canonicalisation that fails into an empty string has a digest anyone knows (CVE-2025-66568).
  if (!text.startsWith(`<${element.tagName}`)) throw refusal('signature_invalid', { received: 'nothing' })
  return text
}

const signerOf = (
  text: string,
  hash: string,
  value: Buffer,
  certificates: readonly SigningCertificate[],
): SigningCertificate | undefined =>
  certificates.find(({ key }) => verify(hash, Buffer.from(text), key, value))

const demandInForce = (certificate: SigningCertificate, { now, allowExpired }: VerifyInput): void => {
  if (isInForce(certificate, now) || (allowExpired && certificate.notAfter < now)) return
  throw refusal('certificate_expired', {
    expected: `a certificate in force on ${now.toISOString()}`,
    received: `${certificate.notBefore.toISOString()} to ${certificate.notAfter.toISOString()}`,
    fingerprint: certificate.fingerprint,
  })
}

export type VerifyInput = {
  certificates: readonly SigningCertificate[]
  /** A certificate that has ended still counts. One that has not begun never does. */
  allowExpired: boolean
  now: Date
  limits: ScanLimits
  refuse: (fault: ScanFault) => Error
}

/**
 * Verifies the signature of an element by its parent's ID and takes it out of the tree (the enveloped transform).
 * The cheap half comes first: without a signature by the connection's key nothing large is canonicalised.
 * @returns the canonical text of the signed element, as verified
 * @throws AppError `signature_invalid`, `algorithm_refused`, `structure_refused`, `certificate_expired`
 */
export const verifySignature = (signed: Element, signature: Element, input: VerifyInput): string => {
  const parts = children(signature, MODELS.signature)
  const claimed = readSignedInfo(first(parts['ds:SignedInfo']))
  const value = readBase64(first(parts['ds:SignatureValue']), MODELS.signatureValue)
  const signedInfo = canonicalise(first(parts['ds:SignedInfo']), claimed.prefixes)
  const signer = signerOf(signedInfo, claimed.signatureHash, value, input.certificates)
  if (!signer) {
    throw refusal('signature_invalid', {
      element: signed.localName,
      expected: input.certificates.map(({ fingerprint }) => fingerprint),
      received: 'a signature that none of these certificates made',
    })
  }
  demandInForce(signer, input)
  // From here on only what the key vouched for counts: the reference is read again from the verified text.
  const vouched = readSignedInfo(readXml(signedInfo, input.limits, input.refuse))
  if (vouched.uri !== `#${demandId(signed)}`) {
    throw refusal('structure_refused', {
      element: 'Reference',
      expected: `#${demandId(signed)}`,
      received: vouched.uri.slice(0, 200),
    })
  }
  signed.removeChild(signature)
  const text = canonicalise(signed, vouched.transformPrefixes)
  if (!equalBytes(createHash(vouched.digestHash).update(text).digest(), vouched.digest)) {
    throw refusal('signature_invalid', {
      element: signed.localName,
      expected: 'the digest that was signed',
      received: 'another: the content was changed after signing',
    })
  }
  return text
}
