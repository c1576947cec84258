/** What a SAML connection is configured with. A draft lacks the IdP's side; `missing` says what, in plain words. */
import { z } from 'zod'
import { readCertificate } from './certificates.ts'
import { PRESET_NAMES } from './presets.ts'

const attributeNames = z.array(z.string().min(1).max(500)).max(20)

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

/** What is asked of the IdP about how people authenticate (core section 3.3.2.2.1). */
const authnContext = z.strictObject({
  classes: z.array(z.string().min(1).max(300)).min(1).max(10),
  comparison: z.enum(['exact', 'minimum']).default('exact'),
  /**
   * Classes that are accepted besides those asked for. With `minimum` an IdP answers with the stronger class that it
   * used, and no standard says which those are.
   */
  alsoAccepted: z.array(z.string().min(1).max(300)).max(20).default([]),
  /** Refuse an answer with another class: without this the request is a wish. */
  enforced: z.boolean().default(true),
})

export const SamlConfig = z.strictObject({
  idpEntityId: z.string().min(1).max(1024).nullable().default(null),
  /** The IdP's SingleSignOnService with the HTTP-Redirect binding. */
  ssoUrl: webAddress.nullable().default(null),
  /** The one with the HTTP-POST binding. */
  ssoPostUrl: webAddress.nullable().default(null),
  /** How our request travels where the IdP takes both. */
  requestBinding: z.enum(['redirect', 'post']).default('redirect'),
  /** PEM. The IdP's signing certificates; two during a rollover. */
  certificates: z.array(certificate).max(10).default([]),
  /** Let in what an expired certificate signed. For the day on which the IdP's admin cannot be reached. */
  allowExpiredCertificates: z.boolean().default(false),
  /** Asked of the IdP; null leaves the choice to it. */
  nameIdFormat: z.string().min(1).max(200).nullable().default(null),
  authnContext: authnContext.nullable().default(null),
  /** Whose names for attributes are taken where `attributes` does not say otherwise. */
  preset: z.enum(PRESET_NAMES).default('generic'),
  attributes: z
    .strictObject({
      /** Empty: the NameID. Else the attribute that names the person, for IdPs that send a NameID of the moment. */
      subject: attributeNames.default([]),
      email: attributeNames.optional(),
      displayName: attributeNames.optional(),
      givenName: attributeNames.optional(),
      familyName: attributeNames.optional(),
      groups: attributeNames.optional(),
      externalId: attributeNames.optional(),
      /** Profile fields of the platform's own, each from a list of attribute names. */
      extra: z.record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/), attributeNames).default({}),
    })
    .prefault({}),
  /** PEM; ours, for the IdP to check our requests with. Its private key is the secret `spPrivateKey`. */
  spCertificate: z.string().min(1),
  /** PEM; ours from the next switch of keys on, published beside the other until then. */
  nextSpCertificate: z.string().min(1).nullable().default(null),
  /** PEM; what the IdP may encrypt to, the current one first. Private keys in the same order: `spDecryptionKeys`. */
  encryptionCertificates: z.array(z.string().min(1)).max(4).default([]),
  /**
   * Publish the encryption certificate in our metadata. ADFS and others encrypt as soon as they find one, with
   * AES-CBC: so this is switched on by who wants it.
   */
  offerEncryption: z.boolean().default(false),
  /** Decrypt AES-CBC too, and only inside a Response whose signature was verified before. */
  allowCbc: z.boolean().default(false),
})

export type SamlConfig = z.infer<typeof SamlConfig>

export const SP_PRIVATE_KEY = 'spPrivateKey'
export const SP_NEXT_PRIVATE_KEY = 'spNextPrivateKey'
/** PEM, one after the other; the current one first. */
export const SP_DECRYPTION_KEYS = 'spDecryptionKeys'

/** Where our request goes and how; the binding that was chosen, or the only one there is. Null: neither is known. */
export const destinationOf = (
  config: Pick<SamlConfig, 'ssoUrl' | 'ssoPostUrl' | 'requestBinding'>,
): { binding: SamlConfig['requestBinding']; url: string } | null => {
  const { ssoUrl, ssoPostUrl, requestBinding } = config
  if (ssoPostUrl !== null && (requestBinding === 'post' || ssoUrl === null)) {
    return { binding: 'post', url: ssoPostUrl }
  }
  return ssoUrl === null ? null : { binding: 'redirect', url: ssoUrl }
}

/** What lacks before sign-ins can work; empty: nothing. */
export const missing = (config: SamlConfig, secrets: Readonly<Record<string, string>>): string[] => {
  const wanted: [present: unknown, words: string][] = [
    [config.idpEntityId, "the IdP's entity ID"],
    [destinationOf(config), "the IdP's single sign-on address (HTTP-Redirect or HTTP-POST binding)"],
    [config.certificates.length, "the IdP's signing certificate"],
    [secrets[SP_PRIVATE_KEY], 'the private key that signs our requests'],
  ]
  return wanted.filter(([present]) => !present).map(([, words]) => words)
}
