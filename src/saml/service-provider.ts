/** Our side of a connection: addresses, key pairs, SP metadata. All of it exists before the IdP's side does. */
import { SamlConfig, SP_DECRYPTION_KEYS, SP_PRIVATE_KEY } from './config.ts'
import { CONTENT_CIPHERS, HTTP_POST, NAMESPACES, OAEP_MGF1P } from './names.ts'
import { createKeyPair } from './sp-keys.ts'

export type Addresses = { acsUrl: string; entityId: string; metadataUrl: string }

/** @param baseUrl the broker's own, without a trailing slash; @param id `con_…` */
export const addresses = (baseUrl: string, id: string): Addresses => {
  const base = `${baseUrl.replace(/\/+$/, '')}/saml/${id}`
  return { acsUrl: `${base}/acs`, entityId: `${base}/metadata`, metadataUrl: `${base}/metadata` }
}

/** Two new key pairs with self-signed certificates, and nothing of the IdP's. */
export const draft = async (): Promise<{ config: SamlConfig; secrets: Record<string, string> }> => {
  const [signing, encryption] = await Promise.all([createKeyPair('signing'), createKeyPair('encryption')])
  return {
    config: SamlConfig.parse({
      spCertificate: signing.certificate,
      encryptionCertificates: [encryption.certificate],
    }),
    secrets: { [SP_PRIVATE_KEY]: signing.privateKey, [SP_DECRYPTION_KEYS]: encryption.privateKey },
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

/** What may be chosen, best first. CBC is never offered, also where it would be accepted. */
const OFFERED = [...CONTENT_CIPHERS]
  .filter(([, { gcm }]) => gcm)
  .sort(([, a], [, b]) => b.keyBytes - a.keyBytes)
  .map(([algorithm]) => algorithm)

const keyDescriptor = (use: 'signing' | 'encryption', pem: string, methods: readonly string[]): string => `
    <md:KeyDescriptor use="${use}">
      <ds:KeyInfo>
        <ds:X509Data>
          <ds:X509Certificate>${pem.replace(/-----[A-Z ]+-----|\s/g, '')}</ds:X509Certificate>
        </ds:X509Data>
      </ds:KeyInfo>${methods.map((method) => `\n      <md:EncryptionMethod Algorithm="${method}"/>`).join('')}
    </md:KeyDescriptor>`

/** Signing: what we sign with now and next. Encryption: the current certificate only, so that the older one retires. */
const keyDescriptors = (config: SamlConfig): string => {
  const signing = [config.spCertificate, config.nextSpCertificate].filter((pem) => pem !== null)
  const encryption = config.offerEncryption ? config.encryptionCertificates.slice(0, 1) : []
  return [
    ...signing.map((pem) => keyDescriptor('signing', pem, [])),
    ...encryption.map((pem) => keyDescriptor('encryption', pem, [...OFFERED, OAEP_MGF1P])),
  ].join('')
}

/** SP metadata (SAML metadata section 2.4.4), children in the order of the schema. */
export const spMetadata = ({ acsUrl, entityId }: Addresses, config: SamlConfig): string => {
  const format =
    config.nameIdFormat === null
      ? ''
      : `\n    <md:NameIDFormat>${escapeXml(config.nameIdFormat)}</md:NameIDFormat>`
  return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="${NAMESPACES.md}" xmlns:ds="${NAMESPACES.ds}" entityID="${escapeXml(entityId)}">
  <md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="${NAMESPACES.samlp}">${keyDescriptors(config)}${format}
    <md:AssertionConsumerService Binding="${HTTP_POST}" Location="${escapeXml(acsUrl)}" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
`
}
