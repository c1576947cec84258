/**
 * The one shape of a Response that is admitted, as data: which children and attributes an element may have, and how
 * often. Whatever is not written here (an Extensions, an Advice, a second Assertion, an `Id` beside `ID`, an Object
 * in a Signature) is refused, because an attacker needs a place that one reader looks at and another does not.
 */
import { refusal } from '../connections/contract.ts'
import { type KnownPrefix, NAMESPACES } from './names.ts'
import { childElements, everyElement, hasStrayText, textOf } from './xml-tree.ts'

type Occurs = readonly [min: number, max: number]

export type Model = {
  attributes: readonly string[]
  /** By `prefix:LocalName`, the prefix being ours. */
  children: Readonly<Record<string, Occurs>>
  /** Attributes of other namespaces are let through, unread: the schema has `anyAttribute` here. */
  foreignAttributes?: true
}

const once: Occurs = [1, 1]
const optional: Occurs = [0, 1]
const upTo = (max: number): Occurs => [0, max]
const leaf = (...attributes: string[]): Model => ({ attributes, children: {} })
const NAME_ID_ATTRIBUTES = ['Format', 'NameQualifier', 'SPNameQualifier', 'SPProvidedID']

/** SAML 2.0 core sections 2 and 3; XML Signature section 4. */
export const MODELS = {
  response: {
    attributes: ['ID', 'Version', 'IssueInstant', 'Destination', 'Consent', 'InResponseTo'],
    children: {
      'saml:Issuer': optional,
      'ds:Signature': optional,
      'samlp:Status': once,
      'saml:Assertion': optional,
      'saml:EncryptedAssertion': optional,
    },
  },
  status: {
    attributes: [],
    children: { 'samlp:StatusCode': once, 'samlp:StatusMessage': optional, 'samlp:StatusDetail': optional },
  },
  statusCode: { attributes: ['Value'], children: { 'samlp:StatusCode': optional } },
  assertion: {
    attributes: ['ID', 'Version', 'IssueInstant'],
    children: {
      'saml:Issuer': once,
      'ds:Signature': optional,
      'saml:Subject': optional,
      'saml:Conditions': optional,
      'saml:AuthnStatement': upTo(1),
      'saml:AttributeStatement': upTo(8),
    },
  },
  nameId: leaf(...NAME_ID_ATTRIBUTES),
  subject: {
    attributes: [],
    children: {
      'saml:NameID': optional,
      'saml:EncryptedID': optional,
      'saml:SubjectConfirmation': upTo(8),
    },
  },
  confirmation: {
    attributes: ['Method'],
    children: { 'saml:NameID': optional, 'saml:SubjectConfirmationData': optional },
  },
  confirmationData: leaf('NotBefore', 'NotOnOrAfter', 'Recipient', 'InResponseTo', 'Address'),
  conditions: {
    attributes: ['NotBefore', 'NotOnOrAfter'],
    children: {
      'saml:AudienceRestriction': upTo(8),
      'saml:OneTimeUse': optional,
      'saml:ProxyRestriction': optional,
      'saml:Condition': upTo(8),
    },
  },
  audienceRestriction: { attributes: [], children: { 'saml:Audience': [1, 32] } },
  authnStatement: {
    attributes: ['AuthnInstant', 'SessionIndex', 'SessionNotOnOrAfter'],
    children: { 'saml:SubjectLocality': optional, 'saml:AuthnContext': once },
  },
  authnContext: {
    attributes: [],
    children: {
      'saml:AuthnContextClassRef': optional,
      'saml:AuthnContextDecl': optional,
      'saml:AuthnContextDeclRef': optional,
      'saml:AuthenticatingAuthority': upTo(8),
    },
  },
  attributeStatement: { attributes: [], children: { 'saml:Attribute': upTo(500) } },
  attribute: {
    attributes: ['Name', 'NameFormat', 'FriendlyName'],
    children: { 'saml:AttributeValue': upTo(2000) },
    foreignAttributes: true,
  },
  signature: {
    attributes: ['Id'],
    // KeyInfo is admitted and never read: whose key it is, the sender does not get to say.
    children: { 'ds:SignedInfo': once, 'ds:SignatureValue': once, 'ds:KeyInfo': optional },
  },
  signatureValue: leaf('Id'),
  signedInfo: {
    attributes: ['Id'],
    children: { 'ds:CanonicalizationMethod': once, 'ds:SignatureMethod': once, 'ds:Reference': once },
  },
  reference: {
    attributes: ['Id', 'URI'],
    children: { 'ds:Transforms': once, 'ds:DigestMethod': once, 'ds:DigestValue': once },
  },
  transforms: { attributes: [], children: { 'ds:Transform': [1, 16] } },
  canonicalization: { attributes: ['Algorithm'], children: { 'ec:InclusiveNamespaces': optional } },
  inclusiveNamespaces: leaf('PrefixList'),
  algorithm: leaf('Algorithm'),
  text: leaf(),
  /** XML Encryption 1.1 section 3. No CipherReference: content lies in the message, not at an address in it. */
  encryptedAssertion: {
    attributes: [],
    children: { 'xenc:EncryptedData': once, 'xenc:EncryptedKey': optional },
  },
  encryptedData: {
    attributes: ['Id', 'Type', 'MimeType', 'Encoding'],
    children: { 'xenc:EncryptionMethod': once, 'ds:KeyInfo': optional, 'xenc:CipherData': once },
  },
  contentMethod: { attributes: ['Algorithm'], children: { 'xenc:KeySize': optional } },
  contentKeyInfo: {
    attributes: ['Id'],
    children: { 'xenc:EncryptedKey': optional, 'ds:RetrievalMethod': optional, 'ds:KeyName': optional },
  },
  encryptedKey: {
    attributes: ['Id', 'Type', 'MimeType', 'Encoding', 'Recipient'],
    children: {
      'xenc:EncryptionMethod': once,
      'ds:KeyInfo': optional,
      'xenc:CipherData': once,
      'xenc:ReferenceList': optional,
      'xenc:CarriedKeyName': optional,
    },
  },
  keyMethod: {
    attributes: ['Algorithm'],
    children: { 'xenc:KeySize': optional, 'ds:DigestMethod': optional, 'xenc11:MGF': optional },
  },
  cipherData: { attributes: [], children: { 'xenc:CipherValue': once } },
} as const satisfies Record<string, Model>

const PREFIXES: ReadonlyMap<string, string> = new Map(
  Object.entries(NAMESPACES).map(([prefix, uri]) => [uri, prefix]),
)

const refuse = (element: Element, expected: string, received: string): Error =>
  refusal('structure_refused', { element: element.localName, expected, received: received.slice(0, 200) })

const checkAttributes = (element: Element, model: Model): void => {
  for (const attribute of Array.from(element.attributes)) {
    const { name, prefix, namespaceURI } = attribute
    const admitted =
      name === 'xmlns' ||
      prefix === 'xmlns' ||
      namespaceURI === NAMESPACES.xsi ||
      namespaceURI === NAMESPACES.xml ||
      (prefix ? model.foreignAttributes === true : model.attributes.includes(name))
    if (!admitted) throw refuse(element, `only ${model.attributes.join(', ')}`, name)
  }
}

/**
 * An element's children by name, after holding the element against its model.
 * @throws AppError `structure_refused`
 */
export const children = <M extends Model>(
  element: Element,
  model: M,
): Record<keyof M['children'], Element[]> => {
  checkAttributes(element, model)
  if (hasStrayText(element)) throw refuse(element, 'elements only', 'text')
  const found = Object.fromEntries(Object.keys(model.children).map((name) => [name, [] as Element[]]))
  for (const child of childElements(element)) {
    const name = `${PREFIXES.get(child.namespaceURI ?? '') ?? '?'}:${child.localName}`
    if (!Object.hasOwn(found, name)) throw refuse(element, Object.keys(found).join(', '), name)
    found[name]?.push(child)
  }
  for (const [name, [min, max]] of Object.entries(model.children)) {
    const count = found[name]?.length ?? 0
    if (count < min || count > max) {
      throw refuse(element, `${min === max ? '' : `${min} to `}${max} ${name}`, String(count))
    }
  }
  return found as Record<keyof M['children'], Element[]>
}

/**
 * The text of an element that may hold nothing else.
 * @throws AppError `structure_refused`
 */
export const leafText = (element: Element, model: Model): string => {
  checkAttributes(element, model)
  const text = textOf(element)
  if (text === null) throw refuse(element, 'text only', 'other content')
  return text
}

/** Holds a leaf whose content does not matter against its model. @throws AppError `structure_refused` */
export const checkLeaf = (element: Element, model: Model): void => {
  children(element, model)
}

/** @throws AppError `structure_refused` */
export const demandNamed = (element: Element, prefix: KnownPrefix, localName: string): void => {
  if (element.localName !== localName || element.namespaceURI !== NAMESPACES[prefix]) {
    throw refusal('structure_refused', {
      expected: `${localName} in ${NAMESPACES[prefix]}`,
      received: `${element.localName} in ${element.namespaceURI ?? 'no namespace'}`.slice(0, 200),
    })
  }
}

const SCHEMA_ID = /^[A-Za-z_][A-Za-z0-9_.-]{0,255}$/

/**
 * IDs are unique whatever an attribute that might be taken for one is called, and signatures stand only directly in a
 * Response or an Assertion: so "the element with this ID" and "the signature of this element" have one answer.
 * @param ids found so far, where a document comes in two parts (an assertion that was encrypted); grows
 * @throws AppError `structure_refused`
 */
export const checkDocument = (root: Element, ids: Set<string>): void => {
  for (const element of everyElement(root)) {
    if (element.localName === 'Signature' && !isOwner(element.parentNode)) {
      throw refuse(element, 'a Signature directly in what it signs', 'a Signature elsewhere')
    }
    for (const attribute of Array.from(element.attributes)) {
      if (attribute.localName?.toLowerCase() !== 'id' || attribute.prefix === 'xmlns') continue
      if (ids.has(attribute.value)) throw refuse(element, 'unique IDs', 'an ID used twice')
      ids.add(attribute.value)
    }
  }
}

const isOwner = (node: Node | null): boolean => {
  const { localName, namespaceURI } = (node ?? {}) as Partial<Element>
  return (
    (localName === 'Response' && namespaceURI === NAMESPACES.samlp) ||
    (localName === 'Assertion' && namespaceURI === NAMESPACES.saml)
  )
}

/** The ID of a Response or Assertion, fit to be referred to. @throws AppError `structure_refused` */
export const demandId = (element: Element): string => {
  const id = element.getAttribute('ID') ?? ''
  if (!SCHEMA_ID.test(id)) throw refuse(element, 'an ID of the XML schema', 'another, or none')
  return id
}
