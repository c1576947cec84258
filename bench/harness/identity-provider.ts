/**
 * A SAML IdP that is nothing but fast: it writes its assertions in canonical form to begin with, so that signing one
 * is a digest and an RSA operation and no XML library runs on the side of the load.
 */
import { createHash, createPrivateKey, type KeyObject, randomBytes, sign } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'

const ASSERTION = 'urn:oasis:names:tc:SAML:2.0:assertion'
const PROTOCOL = 'urn:oasis:names:tc:SAML:2.0:protocol'
const DSIG = 'http://www.w3.org/2000/09/xmldsig#'
const EXCLUSIVE_C14N = 'http://www.w3.org/2001/10/xml-exc-c14n#'
const EMAIL_FORMAT = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'
const CM_BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer'
const BASIC = 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic'

export type SigningIdentity = { privateKeyPem: string; certificatePem: string }

export type IdentityProvider = { entityId: string; ssoUrl: string; signing: SigningIdentity }

export type ResponseRequest = { acsUrl: string; audience: string; inResponseTo: string; email: string }

const bare = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, '')

export const metadataOf = ({ entityId, ssoUrl, signing }: IdentityProvider): string =>
  `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="${DSIG}" entityID="${entityId}">` +
  `<md:IDPSSODescriptor protocolSupportEnumeration="${PROTOCOL}"><md:KeyDescriptor use="signing"><ds:KeyInfo>` +
  `<ds:X509Data><ds:X509Certificate>${bare(signing.certificatePem)}</ds:X509Certificate></ds:X509Data>` +
  `</ds:KeyInfo></md:KeyDescriptor><md:NameIDFormat>${EMAIL_FORMAT}</md:NameIDFormat>` +
  `<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="${ssoUrl}"/>` +
  `</md:IDPSSODescriptor></md:EntityDescriptor>`

/** What the browser carries to the IdP: the request's ID and the relay state. */
export const readAuthnRequest = (redirect: string): { id: string; relayState: string } => {
  const parameters = new URL(redirect).searchParams
  const xml = inflateRawSync(Buffer.from(parameters.get('SAMLRequest') ?? '', 'base64')).toString()
  const id = / ID="([^"]+)"/.exec(xml)?.[1]
  const relayState = parameters.get('RelayState')
  if (!id || !relayState) throw new Error('the redirect carries no AuthnRequest')
  return { id, relayState }
}

const attribute = (name: string, ...values: string[]): string =>
  `<saml:Attribute Name="${name}" NameFormat="${BASIC}">${values
    .map((value) => `<saml:AttributeValue>${value}</saml:AttributeValue>`)
    .join('')}</saml:Attribute>`

const attributesOf = (email: string): string => {
  const name = email.slice(0, email.indexOf('@'))
  return (
    attribute('email', email) +
    attribute('displayName', `${name} Tester`) +
    attribute('givenName', name) +
    attribute('familyName', 'Tester') +
    attribute('groups', 'Everyone', 'Engineering', 'Tools', 'On call', 'Office Lisbon')
  )
}

/** Attributes in alphabetical order, no empty tags: these characters are their own exclusive canonicalisation. */
const assertionParts = (idp: IdentityProvider, request: ResponseRequest, id: string, now: Date) => {
  const at = now.toISOString()
  const soon = new Date(now.getTime() + 300_000).toISOString()
  const issuer = `<saml:Issuer>${idp.entityId}</saml:Issuer>`
  const head = `<saml:Assertion xmlns:saml="${ASSERTION}" ID="${id}" IssueInstant="${at}" Version="2.0">${issuer}`
  const tail =
    `<saml:Subject><saml:NameID Format="${EMAIL_FORMAT}">${request.email}</saml:NameID>` +
    `<saml:SubjectConfirmation Method="${CM_BEARER}"><saml:SubjectConfirmationData InResponseTo="${request.inResponseTo}" ` +
    `NotOnOrAfter="${soon}" Recipient="${request.acsUrl}"></saml:SubjectConfirmationData></saml:SubjectConfirmation>` +
    `</saml:Subject><saml:Conditions NotBefore="${at}" NotOnOrAfter="${soon}"><saml:AudienceRestriction>` +
    `<saml:Audience>${request.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
    `<saml:AuthnStatement AuthnInstant="${at}" SessionIndex="${id}-s"><saml:AuthnContext><saml:AuthnContextClassRef>` +
    `urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef>` +
    `</saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>${attributesOf(request.email)}` +
    `</saml:AttributeStatement></saml:Assertion>`
  return { head, tail }
}

const empty = (name: string, algorithm: string): string =>
  `<ds:${name} Algorithm="${algorithm}"></ds:${name}>`

const signatureOf = (canonical: string, id: string, key: KeyObject, certificate: string): string => {
  const digest = createHash('sha256').update(canonical).digest('base64')
  const content =
    empty('CanonicalizationMethod', EXCLUSIVE_C14N) +
    empty('SignatureMethod', 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256') +
    `<ds:Reference URI="#${id}"><ds:Transforms>${empty('Transform', `${DSIG}enveloped-signature`)}` +
    `${empty('Transform', EXCLUSIVE_C14N)}</ds:Transforms>` +
    `${empty('DigestMethod', 'http://www.w3.org/2001/04/xmlenc#sha256')}` +
    `<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>`
  const value = sign('sha256', Buffer.from(`<ds:SignedInfo xmlns:ds="${DSIG}">${content}`), key)
  return (
    `<ds:Signature xmlns:ds="${DSIG}"><ds:SignedInfo>${content}` +
    `<ds:SignatureValue>${value.toString('base64')}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>` +
    `<ds:X509Certificate>${certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
  )
}

/** Makes what the form field SAMLResponse wants: a Response with one signed Assertion, in base64. */
export const openIdentityProvider = (idp: IdentityProvider): ((request: ResponseRequest) => string) => {
  const key = createPrivateKey(idp.signing.privateKeyPem)
  const certificate = bare(idp.signing.certificatePem)
  return (request) => {
    const now = new Date()
    const id = `_${randomBytes(16).toString('hex')}`
    const { head, tail } = assertionParts(idp, request, id, now)
    const assertion = head + signatureOf(head + tail, id, key, certificate) + tail
    return Buffer.from(
      `<samlp:Response xmlns:samlp="${PROTOCOL}" Destination="${request.acsUrl}" ID="${id}-r" ` +
        `InResponseTo="${request.inResponseTo}" IssueInstant="${now.toISOString()}" Version="2.0">` +
        `<saml:Issuer xmlns:saml="${ASSERTION}">${idp.entityId}</saml:Issuer><samlp:Status>` +
        `<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>${assertion}</samlp:Response>`,
    ).toString('base64')
  }
}
