/**
 * What a Response and its Assertion say, read from a tree that holds only verified text (`readAssertion`) or from the
 * envelope around it (`readEnvelope`). Reading judges nothing: the rules are the table in checks.ts.
 */
import { refusal } from '../connections/contract.ts'
import { parseInstant } from './instants.ts'
import { NAMESPACES } from './names.ts'
import { checkLeaf, children, demandId, leafText, MODELS, type Model } from './shape.ts'
import { attributeOf, childElements, isNamed, textOf } from './xml-tree.ts'

export type Envelope = {
  version: string | undefined
  destination: string | undefined
  inResponseTo: string | undefined
  issuer: Issuer | undefined
  /** Top-level code first, then the nested ones. */
  status: string[]
}

type Issuer = { value: string; format: string | undefined }

export type Confirmation = {
  method: string | undefined
  recipient: string | undefined
  inResponseTo: string | undefined
  notBefore: Date | undefined
  notOnOrAfter: Date | undefined
}

export type Assertion = {
  id: string
  version: string | undefined
  issueInstant: Date | undefined
  issuer: Issuer
  nameId: { value: string; format: string | undefined } | undefined
  encryptedId: boolean
  confirmations: Confirmation[]
  conditions: Conditions | undefined
  authentication: Authentication | undefined
  /** Null-prototype: a name such as `__proto__` is a name. Same-named attributes are merged in document order. */
  attributes: Readonly<Record<string, readonly string[]>>
}

type Conditions = {
  notBefore: Date | undefined
  notOnOrAfter: Date | undefined
  /** One list per AudienceRestriction: each must admit us (core section 2.5.1.4). */
  audiences: string[][]
  /** Conditions of a type that we do not know. */
  unknown: number
}

type Authentication = {
  instant: Date | undefined
  sessionIndex: string | undefined
  sessionNotOnOrAfter: Date | undefined
  contextClass: string | undefined
}

const instantOf = (element: Element, name: string): Date | undefined => {
  const text = attributeOf(element, name)
  if (text === undefined) return undefined
  const instant = parseInstant(text)
  if (instant) return instant
  throw refusal('malformed', {
    element: `${element.localName} ${name}`,
    expected: 'an instant in UTC such as 2026-01-31T08:00:00Z',
    received: text.slice(0, 64),
  })
}

const ownText = (element: Element | undefined, model: Model): string | undefined =>
  element && leafText(element, model)

const readIssuer = (element: Element): Issuer => ({
  value: leafText(element, MODELS.nameId),
  format: attributeOf(element, 'Format'),
})

const readStatus = (status: Element): string[] => {
  const codes: string[] = []
  let [code] = children(status, MODELS.status)['samlp:StatusCode'] as [Element | undefined]
  while (code) {
    codes.push((attributeOf(code, 'Value') ?? '').slice(0, 200))
    code = children(code, MODELS.statusCode)['samlp:StatusCode'][0]
  }
  return codes
}

/** The Response without its Assertion. @throws AppError `structure_refused` */
export const readEnvelope = (response: Element): Envelope => {
  const parts = children(response, MODELS.response)
  const [issuer] = parts['saml:Issuer']
  return {
    version: attributeOf(response, 'Version'),
    destination: attributeOf(response, 'Destination'),
    inResponseTo: attributeOf(response, 'InResponseTo'),
    issuer: issuer && readIssuer(issuer),
    status: readStatus(parts['samlp:Status'][0] as Element),
  }
}

const readConfirmation = (element: Element): Confirmation => {
  const [data] = children(element, MODELS.confirmation)['saml:SubjectConfirmationData']
  if (data) checkLeaf(data, MODELS.confirmationData)
  return {
    method: attributeOf(element, 'Method'),
    recipient: data && attributeOf(data, 'Recipient'),
    inResponseTo: data && attributeOf(data, 'InResponseTo'),
    notBefore: data && instantOf(data, 'NotBefore'),
    notOnOrAfter: data && instantOf(data, 'NotOnOrAfter'),
  }
}

const readSubject = (
  element: Element | undefined,
): Pick<Assertion, 'nameId' | 'encryptedId' | 'confirmations'> => {
  if (!element) return { nameId: undefined, encryptedId: false, confirmations: [] }
  const parts = children(element, MODELS.subject)
  const [nameId] = parts['saml:NameID']
  return {
    nameId: nameId && { value: leafText(nameId, MODELS.nameId), format: attributeOf(nameId, 'Format') },
    encryptedId: parts['saml:EncryptedID'].length > 0,
    confirmations: parts['saml:SubjectConfirmation'].map(readConfirmation),
  }
}

const readConditions = (element: Element | undefined): Conditions | undefined => {
  if (!element) return undefined
  const parts = children(element, MODELS.conditions)
  return {
    notBefore: instantOf(element, 'NotBefore'),
    notOnOrAfter: instantOf(element, 'NotOnOrAfter'),
    audiences: parts['saml:AudienceRestriction'].map((restriction) =>
      children(restriction, MODELS.audienceRestriction)['saml:Audience'].map((audience) =>
        leafText(audience, MODELS.text),
      ),
    ),
    unknown: parts['saml:Condition'].length,
  }
}

const readAuthentication = (element: Element | undefined): Authentication | undefined => {
  if (!element) return undefined
  const [context] = children(element, MODELS.authnStatement)['saml:AuthnContext']
  const [contextClass] = children(context as Element, MODELS.authnContext)['saml:AuthnContextClassRef']
  return {
    instant: instantOf(element, 'AuthnInstant'),
    sessionIndex: attributeOf(element, 'SessionIndex'),
    sessionNotOnOrAfter: instantOf(element, 'SessionNotOnOrAfter'),
    contextClass: ownText(contextClass, MODELS.text),
  }
}

/** Text; or the NameID inside (eduPersonTargetedID); anything richer has no meaning here and is left out. */
const readValue = (element: Element): string[] => {
  if (element.getAttributeNS(NAMESPACES.xsi, 'nil') === 'true') return []
  const [only, ...others] = childElements(element)
  const holder = only && others.length === 0 && isNamed(only, 'saml', 'NameID') ? only : element
  const text = textOf(holder)
  return text === null ? [] : [text.trim()]
}

const readAttributes = (statements: Element[]): Record<string, readonly string[]> => {
  const found: Record<string, string[]> = Object.create(null)
  for (const statement of statements) {
    for (const attribute of children(statement, MODELS.attributeStatement)['saml:Attribute']) {
      const values = children(attribute, MODELS.attribute)['saml:AttributeValue'].flatMap(readValue)
      const name = attributeOf(attribute, 'Name') ?? ''
      // One Attribute per value under the same name is how some IdPs (Keycloak) send a list, so they are merged.
      // Where one value decides, identity.ts refuses two: no reading of "the first" or "the last" is ever made.
      found[name] = [...(found[name] ?? []), ...values]
    }
  }
  return found
}

/** @throws AppError `structure_refused`, `malformed` */
export const readAssertion = (assertion: Element): Assertion => {
  const parts = children(assertion, MODELS.assertion)
  return {
    id: demandId(assertion),
    version: attributeOf(assertion, 'Version'),
    issueInstant: instantOf(assertion, 'IssueInstant'),
    issuer: readIssuer(parts['saml:Issuer'][0] as Element),
    ...readSubject(parts['saml:Subject'][0]),
    conditions: readConditions(parts['saml:Conditions'][0]),
    authentication: readAuthentication(parts['saml:AuthnStatement'][0]),
    attributes: readAttributes(parts['saml:AttributeStatement']),
  }
}
