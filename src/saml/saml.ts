/**
 * SAML 2.0 as a connection type: the browser-SSO profile, our side of it. It owns no table and touches no database;
 * the journey stores what `begin` expects and the replay key that `finish` returns.
 *
 * Invariants: a claim is read only from text whose signature by the connection's certificate held (reader.ts); every
 * rule is a line of one table (checks.ts); node-saml must agree (second-opinion.ts), in a thread of its own, and is
 * asked last, about documents that are already accepted, so that each refusal keeps its own reason and nothing unsigned
 * reaches it. What is encrypted goes the same way once it is open (decryption.ts).
 */
import {
  type Callback,
  type ConnectionRecord,
  type ConnectionType,
  type Expects,
  type OpenConnection,
  type OpenDeps,
  refusal,
  type VerifiedIdentity,
} from '../connections/contract.ts'
import { randomToken } from '../crypto/hash.ts'
import { authnRequest } from './authn-request.ts'
import { isInForce, readCertificate } from './certificates.ts'
import { type Expected, runChecks } from './checks.ts'
import {
  destinationOf,
  missing,
  SamlConfig,
  SP_DECRYPTION_KEYS,
  SP_NEXT_PRIVATE_KEY,
  SP_PRIVATE_KEY,
} from './config.ts'
import { toIdentity } from './identity.ts'
import { importMetadata } from './metadata-in.ts'
import { decodeMessage, readResponse } from './reader.ts'
import type { OpinionRequest, SecondOpinion } from './second-opinion.ts'
import { addresses, draft, spMetadata } from './service-provider.ts'
import { decryptionKeys } from './sp-keys.ts'

const FLOW_ID = /^[A-Za-z0-9_-]{43}$/

type SamlRecord = ConnectionRecord<SamlConfig>
type FinishInput = Parameters<OpenConnection['finish']>[0]

const begin = (record: SamlRecord, deps: OpenDeps): OpenConnection['begin'] => {
  return async ({ forceAuthentication }) => {
    const lacking = missing(record.config, record.secrets)
    const destination = destinationOf(record.config)
    const privateKey = record.secrets[SP_PRIVATE_KEY]
    if (lacking.length > 0 || destination === null || privateKey === undefined) {
      throw refusal('idp_misconfigured', { expected: lacking, received: 'nothing' })
    }
    const flowId = randomToken()
    const now = deps.clock.now()
    const { to, requestId } = authnRequest({
      addresses: addresses(record.baseUrl, record.id),
      binding: destination.binding,
      ssoUrl: destination.url,
      nameIdFormat: record.config.nameIdFormat,
      authnContext: record.config.authnContext,
      forceAuthentication,
      relayState: flowId,
      privateKey,
      now,
    })
    const anew: Expects = forceAuthentication ? { authenticatedAfter: now.toISOString() } : {}
    return { to, flowId, expects: { requestId, ...anew } }
  }
}

const flowIdOf = ({ method, form }: Callback): string | null => {
  const relayState = method === 'POST' ? form.RelayState : undefined
  return relayState !== undefined && FLOW_ID.test(relayState) ? relayState : null
}

/** Every class that will do; none where any does. */
const contextClasses = ({ authnContext }: SamlConfig): readonly string[] =>
  authnContext?.enforced ? [...authnContext.classes, ...authnContext.alsoAccepted] : []

const expectedOf = (record: SamlRecord, { requestId, authenticatedAfter }: Expects): Expected => {
  const { idpEntityId } = record.config
  if (idpEntityId === null) throw refusal('idp_misconfigured', { expected: 'an entity ID of the IdP' })
  // Without a request of ours there is nothing that an answer could belong to.
  if (!requestId) throw refusal('request_mismatch', { expected: 'a request of ours', received: 'none' })
  const { acsUrl, entityId } = addresses(record.baseUrl, record.id)
  return {
    idpEntityId,
    acsUrl,
    entityId,
    requestId,
    authenticatedAfter: authenticatedAfter === undefined ? undefined : new Date(authenticatedAfter),
    contextClasses: contextClasses(record.config),
    subjectByAttribute: record.config.attributes.subject.length > 0,
  }
}

const demandMessage = ({ method, form }: Callback): string => {
  const message = method === 'POST' ? form.SAMLResponse : undefined
  if (message) return message
  throw refusal('malformed', { expected: 'a posted SAMLResponse', received: 'none' })
}

/** @param name the NameID that we read */
const demandAgreement = async (
  secondOpinion: SecondOpinion,
  name: string | undefined,
  request: OpinionRequest,
): Promise<void> => {
  const opinion = await secondOpinion(request)
  if (opinion.accepted && opinion.subject === (request.encrypted ? null : name)) return
  throw refusal('opinions_differ', {
    expected: 'both readers to accept the same subject',
    received: opinion.accepted ? 'another subject' : opinion.why,
  })
}

const finish = (record: SamlRecord, secondOpinion: SecondOpinion | null) => {
  return async (input: FinishInput): Promise<VerifiedIdentity> => {
    const { config } = record
    const { now } = input
    const xml = decodeMessage(demandMessage(input))
    const expected = expectedOf(record, input.expects)
    const read = readResponse(xml, {
      certificates: config.certificates,
      allowExpiredCertificates: config.allowExpiredCertificates,
      decryption: { keys: decryptionKeys(record.secrets), allowCbc: config.allowCbc },
      now,
    })
    runChecks({ ...read, expected, now })
    const identity = toIdentity(read.assertion, config)
    if (secondOpinion) {
      await demandAgreement(secondOpinion, read.assertion.nameId?.value, {
        ...read.opinion,
        connectionId: record.id,
        certificates: config.certificates,
        entityId: expected.entityId,
        acsUrl: expected.acsUrl,
        now: now.getTime(),
      })
    }
    return identity
  }
}

/** The IdP is met only through browsers, perhaps inside a network we cannot see: what is ours to ask is asked. */
const test = (record: SamlRecord, { clock }: OpenDeps): OpenConnection['test'] => {
  return async () => {
    const lacking = missing(record.config, record.secrets)
    if (lacking.length > 0) throw refusal('idp_misconfigured', { expected: lacking, received: 'nothing' })
    const { certificates, allowExpiredCertificates } = record.config
    const inForce = certificates
      .map((pem) => readCertificate(pem))
      .some((found) => 'key' in found && isInForce(found, clock.now()))
    if (!inForce && !allowExpiredCertificates) {
      throw refusal('certificate_unusable', { expected: 'a certificate in force', received: 'none' })
    }
  }
}

/** The IdP's certificates. A sign-in needs one in force, so what counts is when the last of them ends. */
const expiries = (config: SamlConfig) =>
  config.certificates
    .map((pem) => readCertificate(pem))
    .flatMap((found) =>
      'key' in found ? [{ what: 'signing certificate of the IdP', at: found.notAfter }] : [],
    )

/** @param secondOpinion null: the strict reader decides alone (docs/decisions/0002) */
export const createSamlConnection = (secondOpinion: SecondOpinion | null): ConnectionType<SamlConfig> => ({
  type: 'saml',
  label: 'SAML 2.0',
  callback: { path: 'acs', methods: ['POST'] },
  config: SamlConfig,
  secretFields: [SP_PRIVATE_KEY, SP_NEXT_PRIVATE_KEY, SP_DECRYPTION_KEYS],
  draft,
  missing,
  urls: addresses,
  importMetadata,
  expiries,
  open: (record, deps) => ({
    begin: begin(record, deps),
    flowId: flowIdOf,
    finish: finish(record, secondOpinion),
    test: test(record, deps),
    metadata: () => spMetadata(addresses(record.baseUrl, record.id), record.config),
  }),
})
