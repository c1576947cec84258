/**
 * The IdP's metadata document, read strictly: one IdP, where it takes requests, its signing certificates. Every refusal
 * names the element and what was expected, for the admin who pasted the file.
 */
import { AppError } from '../core/errors.ts'
import { isInForce, readCertificate, type SigningCertificate } from './certificates.ts'
import { type SamlConfig, webAddress } from './config.ts'
import { parseInstant } from './instants.ts'
import { HTTP_POST, HTTP_REDIRECT, NAMESPACES } from './names.ts'
import type { ScanFault, ScanLimits } from './xml-scan.ts'
import { attributeOf, childrenNamed, isNamed, readXml, textOf } from './xml-tree.ts'

// ADFS publishes some 100 KB for one IdP.
const LIMITS: ScanLimits = {
  characters: 1024 * 1024,
  elements: 20_000,
  depth: 40,
  attributes: 64,
  allAttributes: 60_000,
  names: 300,
  comments: true,
}
const MAX_CERTIFICATES = 10

const refuse = (code: string, sentence: string, detail: Record<string, unknown> = {}): AppError =>
  new AppError('invalid', `metadata_${code}`, sentence, { detail })

const refuseFault = (fault: ScanFault): AppError => {
  const sentences = {
    malformed: `The metadata is not well-formed XML in UTF-8: found ${fault.what} at character ${fault.at}.`,
    refused: `The metadata must hold only elements and text: found ${fault.what} at character ${fault.at}.`,
    too_large: `The metadata is larger than any single IdP's: too many ${fault.what}. Expected one EntityDescriptor.`,
  }
  return refuse(fault.kind === 'too_large' ? 'too_large' : 'malformed', sentences[fault.kind], fault)
}

type Idp = { entity: Element; descriptor: Element }

const idpsIn = (element: Element): Idp[] => {
  if (isNamed(element, 'md', 'EntityDescriptor')) {
    return childrenNamed(element, 'md', 'IDPSSODescriptor')
      .filter((descriptor) =>
        (attributeOf(descriptor, 'protocolSupportEnumeration') ?? '').split(/\s+/).includes(NAMESPACES.samlp),
      )
      .map((descriptor) => ({ entity: element, descriptor }))
  }
  return [
    ...childrenNamed(element, 'md', 'EntitiesDescriptor'),
    ...childrenNamed(element, 'md', 'EntityDescriptor'),
  ].flatMap(idpsIn)
}

const demandOneIdp = (root: Element): Idp => {
  if (!isNamed(root, 'md', 'EntityDescriptor') && !isNamed(root, 'md', 'EntitiesDescriptor')) {
    throw refuse(
      'root_unknown',
      `Expected an EntityDescriptor or EntitiesDescriptor of SAML 2.0 as the outermost element, found ${root.localName}.`,
    )
  }
  const [idp, ...others] = idpsIn(root)
  if (!idp) {
    throw refuse(
      'idp_missing',
      'Expected an EntityDescriptor with an IDPSSODescriptor that supports SAML 2.0, found none. Is this the metadata of a service provider?',
    )
  }
  if (others.length > 0) {
    throw refuse(
      'idp_ambiguous',
      `Expected one EntityDescriptor with an IDPSSODescriptor, found ${others.length + 1}. Export the metadata of the one IdP.`,
    )
  }
  return idp
}

const demandInForce = (element: Element, now: Date): void => {
  const text = attributeOf(element, 'validUntil')
  if (text === undefined) return
  const until = parseInstant(text)
  if (!until || until <= now) {
    throw refuse(
      'expired',
      `The validUntil of ${element.localName} must be an instant in UTC that has not passed, found ${text.slice(0, 40)}.`,
    )
  }
}

const readEntityId = (entity: Element): string => {
  const id = attributeOf(entity, 'entityID') ?? ''
  if (id.trim() === '' || id.length > 1024) {
    throw refuse(
      'entity_id_missing',
      'Expected EntityDescriptor to have an entityID of 1 to 1024 characters.',
    )
  }
  return id
}

const readSsoUrls = (descriptor: Element): Pick<SamlConfig, 'ssoUrl' | 'ssoPostUrl'> => {
  const services = childrenNamed(descriptor, 'md', 'SingleSignOnService')
  const urlOf = (binding: string): string | null => {
    const service = services.find((element) => attributeOf(element, 'Binding') === binding)
    return service ? readLocation(service) : null
  }
  const found = { ssoUrl: urlOf(HTTP_REDIRECT), ssoPostUrl: urlOf(HTTP_POST) }
  if (found.ssoUrl !== null || found.ssoPostUrl !== null) return found
  throw refuse(
    'sso_missing',
    `Expected a SingleSignOnService with the Binding ${HTTP_REDIRECT} or ${HTTP_POST}, found ${services.length} with other bindings.`,
  )
}

const readLocation = (service: Element): string => {
  const location = webAddress.safeParse(attributeOf(service, 'Location') ?? '')
  if (!location.success) {
    throw refuse(
      'sso_location_invalid',
      'Expected the Location of SingleSignOnService to be an https address.',
    )
  }
  return location.data
}

const readKey = (element: Element): SigningCertificate => {
  const base64 = (textOf(element) ?? '').replace(/\s/g, '')
  const der = Buffer.from(base64, 'base64')
  // Node stops at the first character that is no base64: what it left out must not go unnoticed.
  const read = readCertificate(der.toString('base64') === base64 ? der : '')
  if (!('found' in read)) return read
  const code = read.fault === 'weak' ? 'certificate_weak' : 'certificate_unreadable'
  throw refuse(
    code,
    `Expected each signing X509Certificate to hold an RSA key of at least 2048 bits, found ${read.found}.`,
  )
}

const readCertificates = (descriptor: Element, now: Date): string[] => {
  const elements = childrenNamed(descriptor, 'md', 'KeyDescriptor')
    // Without `use` a key is for both (metadata section 2.4.1.1).
    .filter((key) => (attributeOf(key, 'use') ?? 'signing') === 'signing')
    .flatMap((key) => childrenNamed(key, 'ds', 'KeyInfo'))
    .flatMap((keyInfo) => childrenNamed(keyInfo, 'ds', 'X509Data'))
    .flatMap((data) => childrenNamed(data, 'ds', 'X509Certificate'))
  if (elements.length === 0 || elements.length > MAX_CERTIFICATES) {
    throw refuse(
      'certificate_missing',
      `Expected 1 to ${MAX_CERTIFICATES} KeyDescriptor elements for signing with an X509Certificate, found ${elements.length}.`,
    )
  }
  const certificates = elements.map(readKey)
  // A predecessor left behind after a rollover is harmless; it is dropped, and a successor yet to begin is kept.
  const lasting = certificates.filter((found) => isInForce(found, now) || found.notBefore > now)
  if (lasting.length === 0) {
    throw refuse(
      'certificate_expired',
      'Expected an X509Certificate that has not expired, found only expired ones.',
    )
  }
  return [...new Set(lasting.map(({ pem }) => pem))]
}

/**
 * The settings in an IdP's metadata. Its own signature is not judged: who brings the document vouches for it.
 * @throws AppError `invalid`, code `metadata_…`
 */
export const importMetadata = (
  xml: string,
  now: Date,
): Pick<SamlConfig, 'idpEntityId' | 'ssoUrl' | 'ssoPostUrl' | 'certificates'> => {
  const root = readXml(xml.replace(/^\uFEFF/, ''), LIMITS, refuseFault)
  const { entity, descriptor } = demandOneIdp(root)
  for (const element of [root, entity, descriptor]) demandInForce(element, now)
  return {
    idpEntityId: readEntityId(entity),
    ...readSsoUrls(descriptor),
    certificates: readCertificates(descriptor, now),
  }
}
