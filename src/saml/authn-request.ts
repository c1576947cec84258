/**
 * Our AuthnRequest (core section 3.4.1), always signed: on the HTTP-Redirect binding over the query (bindings section
 * 3.4.4), on the HTTP-POST binding inside the document (section 3.5.4).
 */
import { createPrivateKey, randomBytes, sign } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { SignedXml } from 'xml-crypto'
import type { Begun } from '../connections/contract.ts'
import { parsedOnce } from '../crypto/parsed.ts'
import type { SamlConfig } from './config.ts'
import { ENVELOPED, EXCLUSIVE_C14N, HTTP_POST, NAMESPACES, RSA_SHA256, SHA256 } from './names.ts'
import { type Addresses, escapeXml } from './service-provider.ts'

export type AuthnRequestInput = {
  addresses: Addresses
  binding: 'redirect' | 'post'
  ssoUrl: string
  nameIdFormat: string | null
  authnContext: SamlConfig['authnContext']
  forceAuthentication: boolean
  relayState: string
  /** PEM. */
  privateKey: string
  now: Date
}

/** Left out unless asked for: what the IdP does (a key, a phone, Windows) is its policy; asking for "password" fails. */
const requestedContext = (context: SamlConfig['authnContext']): string => {
  if (context === null) return ''
  const classes = context.classes.map(
    (name) => `<saml:AuthnContextClassRef>${escapeXml(name)}</saml:AuthnContextClassRef>`,
  )
  return `<samlp:RequestedAuthnContext Comparison="${context.comparison}">${classes.join('')}</samlp:RequestedAuthnContext>`
}

const toXml = (id: string, input: AuthnRequestInput): string => {
  const { addresses, ssoUrl, nameIdFormat, authnContext, forceAuthentication, now } = input
  const force = forceAuthentication ? ' ForceAuthn="true"' : ''
  const format = nameIdFormat === null ? '' : ` Format="${escapeXml(nameIdFormat)}"`
  return (
    `<samlp:AuthnRequest xmlns:samlp="${NAMESPACES.samlp}" xmlns:saml="${NAMESPACES.saml}" ID="${id}"` +
    ` Version="2.0" IssueInstant="${now.toISOString()}" Destination="${escapeXml(ssoUrl)}"${force}` +
    ` ProtocolBinding="${HTTP_POST}" AssertionConsumerServiceURL="${escapeXml(addresses.acsUrl)}">` +
    `<saml:Issuer>${escapeXml(addresses.entityId)}</saml:Issuer>` +
    `<samlp:NameIDPolicy${format} AllowCreate="true"/>${requestedContext(authnContext)}</samlp:AuthnRequest>`
  )
}

const readPrivateKey = parsedOnce((pem) => createPrivateKey(pem))

const toRedirect = (xml: string, { ssoUrl, relayState, privateKey }: AuthnRequestInput): Begun['to'] => {
  // The signature is over these very characters, in this order; other encodings of the same values break it.
  const signed = [
    ['SAMLRequest', deflateRawSync(xml).toString('base64')],
    ['RelayState', relayState],
    ['SigAlg', RSA_SHA256],
  ]
    .map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`)
    .join('&')
  const signature = sign('sha256', Buffer.from(signed), readPrivateKey(privateKey)).toString('base64')
  const joint = ssoUrl.includes('?') ? '&' : '?'
  return { redirect: `${ssoUrl}${joint}${signed}&Signature=${encodeURIComponent(signature)}` }
}

const toForm = (xml: string, { ssoUrl, relayState, privateKey }: AuthnRequestInput): Begun['to'] => {
  const signed = new SignedXml({
    privateKey,
    signatureAlgorithm: RSA_SHA256,
    canonicalizationAlgorithm: EXCLUSIVE_C14N,
  })
  signed.addReference({ xpath: '/*', transforms: [ENVELOPED, EXCLUSIVE_C14N], digestAlgorithm: SHA256 })
  // After the Issuer, where the schema has it.
  signed.computeSignature(xml, { prefix: 'ds', location: { reference: '/*/*[1]', action: 'after' } })
  const SAMLRequest = Buffer.from(signed.getSignedXml()).toString('base64')
  return { form: { action: ssoUrl, fields: { SAMLRequest, RelayState: relayState } } }
}

/** Where the browser is sent with it, and the ID that the answer must name. */
export const authnRequest = (input: AuthnRequestInput): { to: Begun['to']; requestId: string } => {
  // An xs:ID may not start with a digit.
  const requestId = `_${randomBytes(20).toString('hex')}`
  const xml = toXml(requestId, input)
  return { to: input.binding === 'post' ? toForm(xml, input) : toRedirect(xml, input), requestId }
}
