/** Our AuthnRequest (core section 3.4.1) on the HTTP-Redirect binding (bindings section 3.4.4), always signed. */
import { randomBytes, sign } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import { HTTP_POST, NAMESPACES, RSA_SHA256 } from './names.ts'
import { type Addresses, escapeXml } from './service-provider.ts'

export type AuthnRequestInput = {
  addresses: Addresses
  ssoUrl: string
  nameIdFormat: string | null
  forceAuthentication: boolean
  relayState: string
  /** PEM. */
  privateKey: string
  now: Date
}

const toXml = (
  id: string,
  { addresses, ssoUrl, nameIdFormat, forceAuthentication, now }: AuthnRequestInput,
) => {
  const force = forceAuthentication ? ' ForceAuthn="true"' : ''
  const format = nameIdFormat === null ? '' : ` Format="${escapeXml(nameIdFormat)}"`
  // No RequestedAuthnContext: what the IdP does (a key, a phone, Windows) is its policy; asking for "password" fails.
  return (
    `<samlp:AuthnRequest xmlns:samlp="${NAMESPACES.samlp}" xmlns:saml="${NAMESPACES.saml}" ID="${id}"` +
    ` Version="2.0" IssueInstant="${now.toISOString()}" Destination="${escapeXml(ssoUrl)}"${force}` +
    ` ProtocolBinding="${HTTP_POST}" AssertionConsumerServiceURL="${escapeXml(addresses.acsUrl)}">` +
    `<saml:Issuer>${escapeXml(addresses.entityId)}</saml:Issuer>` +
    `<samlp:NameIDPolicy${format} AllowCreate="true"/></samlp:AuthnRequest>`
  )
}

/** The address to send the browser to, and the ID that the answer must name. */
export const authnRequest = (input: AuthnRequestInput): { redirect: string; requestId: string } => {
  // An xs:ID may not start with a digit.
  const requestId = `_${randomBytes(20).toString('hex')}`
  const deflated = deflateRawSync(toXml(requestId, input)).toString('base64')
  // The signature is over these very characters, in this order; other encodings of the same values break it.
  const signed = [
    ['SAMLRequest', deflated],
    ['RelayState', input.relayState],
    ['SigAlg', RSA_SHA256],
  ]
    .map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`)
    .join('&')
  const signature = sign('sha256', Buffer.from(signed), input.privateKey).toString('base64')
  const joint = input.ssoUrl.includes('?') ? '&' : '?'
  return {
    redirect: `${input.ssoUrl}${joint}${signed}&Signature=${encodeURIComponent(signature)}`,
    requestId,
  }
}
