/** What a SAML connection is configured with. A draft lacks the IdP's side; `missing` says what, in plain words. */
import { z } from 'zod'
import { readCertificate } from './certificates.ts'

/** The first attribute of a list that an assertion has is taken. */
const DEFAULT_ATTRIBUTES = {
  email: [
    'email',
    'mail',
    'Email',
    'emailAddress',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress',
    'urn:oid:0.9.2342.19200300.100.1.3',
  ],
  displayName: [
    'displayName',
    'name',
    'cn',
    'http://schemas.microsoft.com/identity/claims/displayname',
    'urn:oid:2.16.840.1.113730.3.1.241',
    'urn:oid:2.5.4.3',
  ],
  givenName: [
    'givenName',
    'firstName',
    'FirstName',
    'first_name',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname',
    'urn:oid:2.5.4.42',
  ],
  familyName: [
    'familyName',
    'lastName',
    'LastName',
    'last_name',
    'surname',
    'sn',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname',
    'urn:oid:2.5.4.4',
  ],
  groups: [
    'groups',
    'Groups',
    'group',
    'memberOf',
    'http://schemas.microsoft.com/ws/2008/06/identity/claims/groups',
    'http://schemas.xmlsoap.org/claims/Group',
    'urn:oid:1.3.6.1.4.1.5923.1.5.1.1',
  ],
  externalId: ['http://schemas.microsoft.com/identity/claims/objectidentifier', 'externalId'],
}

const attributeNames = (defaults: string[]) => z.array(z.string().min(1).max(500)).max(20).default(defaults)

const certificate = z.string().check((context) => {
  const read = readCertificate(context.value)
  if ('found' in read) {
    context.issues.push({
      code: 'custom',
      message: `expected an RSA certificate of at least 2048 bits, found ${read.found}`,
      input: '(certificate)',
    })
  }
})

const isWebAddress = (value: string): boolean => {
  const url = URL.canParse(value) ? new URL(value) : null
  return (
    url !== null &&
    ['https:', 'http:'].includes(url.protocol) &&
    `${url.username}${url.password}${url.hash}` === ''
  )
}

/** A place to send browsers to; whether plain http will do is the caller's to say. */
export const webAddress = z
  .string()
  .max(2000)
  .refine(isWebAddress, 'expected an http(s) address without user name, password or fragment')

export const SamlConfig = z.strictObject({
  idpEntityId: z.string().min(1).max(1024).nullable().default(null),
  /** The IdP's SingleSignOnService with the HTTP-Redirect binding. */
  ssoUrl: webAddress.nullable().default(null),
  /** PEM. The IdP's signing certificates; two during a rollover. */
  certificates: z.array(certificate).max(10).default([]),
  /** Asked of the IdP; null leaves the choice to it. */
  nameIdFormat: z.string().min(1).max(200).nullable().default(null),
  attributes: z
    .strictObject({
      email: attributeNames(DEFAULT_ATTRIBUTES.email),
      displayName: attributeNames(DEFAULT_ATTRIBUTES.displayName),
      givenName: attributeNames(DEFAULT_ATTRIBUTES.givenName),
      familyName: attributeNames(DEFAULT_ATTRIBUTES.familyName),
      groups: attributeNames(DEFAULT_ATTRIBUTES.groups),
      externalId: attributeNames(DEFAULT_ATTRIBUTES.externalId),
    })
    .prefault({}),
  /** PEM; ours, for the IdP to check our requests with. Its private key is the secret `spPrivateKey`. */
  spCertificate: z.string().min(1),
})

export type SamlConfig = z.infer<typeof SamlConfig>

export const SP_PRIVATE_KEY = 'spPrivateKey'

/** What lacks before sign-ins can work; empty: nothing. */
export const missing = (config: SamlConfig, secrets: Readonly<Record<string, string>>): string[] => {
  const wanted: [present: unknown, words: string][] = [
    [config.idpEntityId, "the IdP's entity ID"],
    [config.ssoUrl, "the IdP's single sign-on address (HTTP-Redirect binding)"],
    [config.certificates.length, "the IdP's signing certificate"],
    [secrets[SP_PRIVATE_KEY], 'the private key that signs our requests'],
  ]
  return wanted.filter(([present]) => !present).map(([, words]) => words)
}
