/** Our side of a connection: addresses, key pair, SP metadata. All of it exists before the IdP's side does. */
// tsyringe, under @peculiar/x509, demands it before it loads.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { SamlConfig, SP_PRIVATE_KEY } from './config.ts'
import { HTTP_POST, NAMESPACES } from './names.ts'

const KEY_ALGORITHM = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
}
// The IdP pins this certificate; nothing checks its dates, and a short life would only break sign-ins one day.
const YEARS = 20
const BACKDATED_MS = 24 * 60 * 60 * 1000

export type Addresses = { acsUrl: string; entityId: string; metadataUrl: string }

/** @param baseUrl the broker's own, without a trailing slash; @param id `con_…` */
export const addresses = (baseUrl: string, id: string): Addresses => {
  const base = `${baseUrl.replace(/\/+$/, '')}/saml/${id}`
  return { acsUrl: `${base}/acs`, entityId: `${base}/metadata`, metadataUrl: `${base}/metadata` }
}

/** A new key pair and self-signed certificate, and nothing of the IdP's. */
export const draft = async (): Promise<{ config: SamlConfig; secrets: Record<string, string> }> => {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
  const now = Date.now()
  const notAfter = new Date(now)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + YEARS)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex')}`,
      name: 'CN=Portico service provider',
      notBefore: new Date(now - BACKDATED_MS),
      notAfter,
      signingAlgorithm: KEY_ALGORITHM,
      keys,
    },
    webcrypto as Crypto,
  )
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    config: SamlConfig.parse({ spCertificate: certificate.toString('pem') }),
    secrets: { [SP_PRIVATE_KEY]: x509.PemConverter.encode(privateKey, 'PRIVATE KEY') },
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** For text and attribute values of the XML that we write. */
export const escapeXml = (value: string): string => value.replace(/[&<>"']/g, (found) => ESCAPES[found] ?? '')

/** SP metadata (SAML metadata section 2.4.4), children in the order of the schema. */
export const spMetadata = ({ acsUrl, entityId }: Addresses, config: SamlConfig): string => {
  const certificate = config.spCertificate.replace(/-----[A-Z ]+-----|\s/g, '')
  const format =
    config.nameIdFormat === null
      ? ''
      : `\n    <md:NameIDFormat>${escapeXml(config.nameIdFormat)}</md:NameIDFormat>`
  return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="${NAMESPACES.md}" xmlns:ds="${NAMESPACES.ds}" entityID="${escapeXml(entityId)}">
  <md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="${NAMESPACES.samlp}">
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo>
        <ds:X509Data>
          <ds:X509Certificate>${certificate}</ds:X509Certificate>
        </ds:X509Data>
      </ds:KeyInfo>
    </md:KeyDescriptor>${format}
    <md:AssertionConsumerService Binding="${HTTP_POST}" Location="${escapeXml(acsUrl)}" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
`
}
