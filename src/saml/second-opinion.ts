/**
 * The second opinion: node-saml must accept what the strict reader accepted, and name the same subject. It sees only
 * documents that the connection's IdP signed: its XPath takes quadratic time, and garbage of 80 KB would keep it busy
 * for seconds. Everything goes in and comes out as plain values, since it works in a thread of its own
 * (opinion-pool.ts).
 */
import { SAML, ValidateInResponseTo } from '@node-saml/node-saml'
import { getVerifiedXml, parseDomFromString } from '@node-saml/node-saml/lib/xml.js'
import { CLOCK_SKEW, MAX_AGE } from './checks.ts'
import type { OpinionDocument } from './reader.ts'

export type OpinionRequest = OpinionDocument & {
  /** Whose document it is: one of a connection is examined at a time. */
  connectionId: string
  /** PEM. */
  certificates: readonly string[]
  entityId: string
  acsUrl: string
  /** Milliseconds since the epoch. */
  now: number
}

/** The subject is null where the document is signed and its assertion encrypted: then only the signature is judged. */
export type Opinion = { accepted: true; subject: string | null } | { accepted: false; why: string }

export type SecondOpinion = (request: OpinionRequest) => Promise<Opinion>

/** The claims: node-saml by itself wants both signatures or is content with too little, so it is told where they are. */
const askAboutClaims = async (request: OpinionRequest): Promise<Opinion> => {
  // It reads the system's clock, a moment later. By how far ours is from that is how far it must be lenient.
  const clockDifferenceMs = Math.abs(Date.now() - request.now) + 1000
  const saml = new SAML({
    callbackUrl: request.acsUrl,
    issuer: request.entityId,
    audience: request.entityId,
    idpCert: [...request.certificates],
    wantAssertionsSigned: request.signed.assertion,
    wantAuthnResponseSigned: request.signed.response,
    acceptedClockSkewMs: CLOCK_SKEW * 1000 + clockDifferenceMs,
    maxAssertionAgeMs: MAX_AGE * 1000,
    // Its memory of requests is not atomic; ours is the flow, read from signed text.
    validateInResponseTo: ValidateInResponseTo.never,
    signatureAlgorithm: 'sha256',
    digestAlgorithm: 'sha256',
    identifierFormat: null,
  })
  const SAMLResponse = Buffer.from(request.xml).toString('base64')
  const { profile } = await saml.validatePostResponseAsync({ SAMLResponse })
  // A LogoutResponse is "accepted" without a profile; attributes may have written anything else into one.
  const subject = profile && Object.hasOwn(profile, 'nameID') ? profile.nameID : undefined
  return typeof subject === 'string' ? { accepted: true, subject } : { accepted: false, why: 'no subject' }
}

/** It would decrypt before it verifies, and never gets a key: of a signed envelope it judges the signature alone. */
const askAboutSignature = async ({ xml, certificates }: OpinionRequest): Promise<Opinion> => {
  const { documentElement } = await parseDomFromString(xml)
  const content = documentElement && getVerifiedXml(xml, documentElement, [...certificates])
  return content ? { accepted: true, subject: null } : { accepted: false, why: 'Invalid document signature' }
}

export const askNodeSaml: SecondOpinion = async (request) => {
  try {
    return await (request.encrypted ? askAboutSignature(request) : askAboutClaims(request))
  } catch (error) {
    return { accepted: false, why: error instanceof Error ? error.message.slice(0, 200) : 'unknown' }
  }
}
