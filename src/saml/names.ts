/** Namespaces and identifiers of SAML 2.0 and XML Signature, each spelt in one place. */

/** Our short names for the namespaces we know; a document's own prefixes mean nothing to us. */
export const NAMESPACES = {
  samlp: 'urn:oasis:names:tc:SAML:2.0:protocol',
  saml: 'urn:oasis:names:tc:SAML:2.0:assertion',
  md: 'urn:oasis:names:tc:SAML:2.0:metadata',
  ds: 'http://www.w3.org/2000/09/xmldsig#',
  ec: 'http://www.w3.org/2001/10/xml-exc-c14n#',
  xenc: 'http://www.w3.org/2001/04/xmlenc#',
  xenc11: 'http://www.w3.org/2009/xmlenc11#',
  xsi: 'http://www.w3.org/2001/XMLSchema-instance',
  xml: 'http://www.w3.org/XML/1998/namespace',
} as const

export type KnownPrefix = keyof typeof NAMESPACES

export const SUCCESS = 'urn:oasis:names:tc:SAML:2.0:status:Success'
export const BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer'
export const HTTP_POST = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST'
export const HTTP_REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect'
export const ENTITY_FORMAT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:entity'
export const TRANSIENT_FORMAT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient'
export const EMAIL_FORMAT = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'

export const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature'
export const EXCLUSIVE_C14N = 'http://www.w3.org/2001/10/xml-exc-c14n#'
export const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256'
export const SHA256 = 'http://www.w3.org/2001/04/xmlenc#sha256'

/**
 * What we verify: RSA PKCS#1 v1.5 with SHA-2. No SHA-1, no MD5, no HMAC (its key would be public), no ECDSA; and no
 * SHA-384, which no IdP defaults to and the second reader does not know.
 */
export const SIGNATURE_HASHES: ReadonlyMap<string, string> = new Map([
  [RSA_SHA256, 'sha256'],
  ['http://www.w3.org/2001/04/xmldsig-more#rsa-sha512', 'sha512'],
])

export const DIGEST_HASHES: ReadonlyMap<string, string> = new Map([
  [SHA256, 'sha256'],
  ['http://www.w3.org/2001/04/xmlenc#sha512', 'sha512'],
])

/** How content may be encrypted. GCM notices every change; CBC notices none, and is decrypted only under a signature. */
export const CONTENT_CIPHERS: ReadonlyMap<string, { cipher: string; keyBytes: number; gcm: boolean }> =
  new Map([
    [`${NAMESPACES.xenc11}aes128-gcm`, { cipher: 'aes-128-gcm', keyBytes: 16, gcm: true }],
    [`${NAMESPACES.xenc11}aes192-gcm`, { cipher: 'aes-192-gcm', keyBytes: 24, gcm: true }],
    [`${NAMESPACES.xenc11}aes256-gcm`, { cipher: 'aes-256-gcm', keyBytes: 32, gcm: true }],
    [`${NAMESPACES.xenc}aes128-cbc`, { cipher: 'aes-128-cbc', keyBytes: 16, gcm: false }],
    [`${NAMESPACES.xenc}aes192-cbc`, { cipher: 'aes-192-cbc', keyBytes: 24, gcm: false }],
    [`${NAMESPACES.xenc}aes256-cbc`, { cipher: 'aes-256-cbc', keyBytes: 32, gcm: false }],
  ])

/** RSA-OAEP in its two spellings; the first always has MGF1 with SHA-1 (XML Encryption 1.1 section 5.5.2). */
export const OAEP_MGF1P = `${NAMESPACES.xenc}rsa-oaep-mgf1p`
export const OAEP_11 = `${NAMESPACES.xenc11}rsa-oaep`

/** Digests of OAEP. SHA-1 is no weakness here: nothing in OAEP rests on collisions, and every IdP defaults to it. */
export const OAEP_HASHES: ReadonlyMap<string, string> = new Map([
  ['http://www.w3.org/2000/09/xmldsig#sha1', 'sha1'],
  ...DIGEST_HASHES,
  ['http://www.w3.org/2001/04/xmldsig-more#sha384', 'sha384'],
])

export const MGF_HASHES: ReadonlyMap<string, string> = new Map([
  [`${NAMESPACES.xenc11}mgf1sha1`, 'sha1'],
  [`${NAMESPACES.xenc11}mgf1sha256`, 'sha256'],
  [`${NAMESPACES.xenc11}mgf1sha384`, 'sha384'],
  [`${NAMESPACES.xenc11}mgf1sha512`, 'sha512'],
])
