/**
 * The second opinion: node-saml must accept what the strict reader accepted, and name the same subject. It sees only
 * documents that the connection's IdP signed: its XPath takes quadratic time, and garbage of 80 KB would keep it busy
 * for seconds. Everything goes in and comes out as plain values, so that a worker can do this instead.
 */
import { SAML, ValidateInResponseTo } from '@node-saml/node-saml'
import { CLOCK_SKEW, MAX_AGE } from './checks.ts'

export type OpinionRequest = {
  /** Whose document it is: one of a connection is examined at a time. */
  connectionId: string
  /** The document as the reader decoded it. */
  xml: string
  /** PEM. */
  certificates: readonly string[]
  entityId: string
  acsUrl: string
  /** Where the reader found signatures that hold: node-saml by itself wants both or is content with too little. */
  signed: { response: boolean; assertion: boolean }
  /** Milliseconds since the epoch. */
  now: number
}

export type Opinion = { accepted: true; subject: string } | { accepted: false; why: string }

export type SecondOpinion = (request: OpinionRequest) => Promise<Opinion>

export const askNodeSaml: SecondOpinion = async (request) => {
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
  try {
    const SAMLResponse = Buffer.from(request.xml).toString('base64')
    const { profile } = await saml.validatePostResponseAsync({ SAMLResponse })
    // A LogoutResponse is "accepted" without a profile; attributes may have written anything else into one.
    const subject = profile && Object.hasOwn(profile, 'nameID') ? profile.nameID : undefined
    return typeof subject === 'string' ? { accepted: true, subject } : { accepted: false, why: 'no subject' }
  } catch (error) {
    return { accepted: false, why: error instanceof Error ? error.message.slice(0, 200) : 'unknown' }
  }
}
