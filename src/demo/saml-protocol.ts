/** The demo SAML IdP's protocol half: reading AuthnRequests, writing Responses and metadata. No HTTP. */
import { randomBytes } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import { AppError } from '../core/errors.ts'
import { loadPeer, type Person } from './peers.ts'
import type { SigningIdentity } from './saml-certificate.ts'

export type ServiceProvider = {
  entityId: string
  acsUrl: string
  /** PEM or bare base64. Given: every AuthnRequest must be signed with its key. */
  certificate?: string
}

/** What came by the redirect binding, each parameter once; also what the person form carries along. */
export type RequestParameters = Readonly<
  Partial<Record<'SAMLRequest' | 'RelayState' | 'SigAlg' | 'Signature', string>>
>

export type AuthnRequest = { id: string; serviceProvider: ServiceProvider }

const LIFETIME_SECONDS = 300
const MAX_REQUEST_BYTES = 65_536
const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256'
const EMAIL_FORMAT = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'
const PERSISTENT_FORMAT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'
const PASSWORD = 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport'

const refuse = (code: string, sentence: string, cause?: unknown): AppError =>
  new AppError('invalid', code, sentence, { cause })

/** The package inflates without a bound, and outside of any try: look first. */
const assertReadable = (samlRequest: string): void => {
  let xml: string
  try {
    const bytes = Buffer.from(samlRequest, 'base64')
    xml = inflateRawSync(bytes, { maxOutputLength: MAX_REQUEST_BYTES }).toString('utf8')
  } catch (cause) {
    throw refuse('saml_request_malformed', 'The SAMLRequest is not a deflated XML document.', cause)
  }
  if (!/^\s*(<\?xml[^>]*\?>\s*)?<([a-z0-9]+:)?AuthnRequest\s[^<]*>/i.test(xml) || xml.includes('<!')) {
    throw refuse('saml_request_malformed', 'The SAMLRequest is not an AuthnRequest.')
  }
}

const loadSamlp = async () => (await loadPeer('samlp', () => import('samlp'))).default

/**
 * @param options.nameId `email`: the address (format emailAddress); `id`: the fixed ID (format persistent)
 * @throws AppError `unsupported`: samlp is not installed
 */
export const openSamlProtocol = async (options: {
  entityId: string
  ssoUrl: string
  identity: SigningIdentity
  nameId: 'email' | 'id'
  findServiceProvider: (entityId: string) => ServiceProvider | undefined
}) => {
  const samlp = await loadSamlp()

  const parse = (parameters: RequestParameters, verify: { signingCert?: string; relayState?: string }) =>
    new Promise<import('samlp').ParsedRequest>((resolve, reject) => {
      samlp.parseRequest({ query: parameters as Record<string, string> }, verify, (error, parsed) =>
        error || !parsed ? reject(error ?? new Error('no SAMLRequest')) : resolve(parsed),
      )
    }).catch((cause) => {
      throw refuse(
        'saml_request_refused',
        verify.signingCert === undefined
          ? 'The SAMLRequest cannot be read.'
          : 'The signature of the SAMLRequest does not hold.',
        cause,
      )
    })

  /** The issuer is not known before a first reading, and the package never asks for its key: hence a second one. */
  const verifySignature = async (parameters: RequestParameters, signingCert: string): Promise<void> => {
    if (parameters.SigAlg !== RSA_SHA256) {
      throw refuse('saml_request_unsigned', 'The SAMLRequest must be signed with RSA-SHA256.')
    }
    const { RelayState: relayState } = parameters
    await parse(parameters, { signingCert, ...(relayState === undefined ? {} : { relayState }) })
  }

  /** @throws AppError `invalid` */
  const readRequest = async (parameters: RequestParameters): Promise<AuthnRequest> => {
    if (!parameters.SAMLRequest) {
      throw refuse('saml_request_missing', 'Start at the app: this address expects a SAMLRequest.')
    }
    assertReadable(parameters.SAMLRequest)
    const request = await parse(parameters, {})
    const issuer = request.issuer ?? ''
    const serviceProvider = options.findServiceProvider(issuer)
    if (!serviceProvider) {
      throw refuse('saml_sp_unknown', `No service provider is registered here as “${issuer.slice(0, 200)}”.`)
    }
    if (serviceProvider.certificate !== undefined) {
      await verifySignature(parameters, serviceProvider.certificate)
    }
    const { id, destination = options.ssoUrl, assertionConsumerServiceURL: acsUrl } = request
    if (!id) throw refuse('saml_request_malformed', 'The SAMLRequest has no ID.')
    if (destination !== options.ssoUrl) {
      throw refuse('saml_destination_mismatch', 'The SAMLRequest was meant for another address.')
    }
    // An assertion goes to the registered address only, whatever a request asks for.
    if (acsUrl !== undefined && acsUrl !== serviceProvider.acsUrl) {
      throw refuse('saml_acs_mismatch', 'The SAMLRequest asks for an unregistered ACS address.')
    }
    return { id, serviceProvider }
  }

  /** The Response as the form field SAMLResponse wants it: base64 of XML with one signed assertion. */
  const respond = ({ id, serviceProvider }: AuthnRequest, person: Person): Promise<string> =>
    new Promise((resolve, reject) => {
      const mapper = () => ({
        getClaims: () => ({
          externalId: person.id,
          email: person.email,
          displayName: person.displayName,
          givenName: person.givenName,
          familyName: person.familyName,
          groups: person.groups,
        }),
        getNameIdentifier: () =>
          options.nameId === 'email'
            ? { nameIdentifier: person.email, nameIdentifierFormat: EMAIL_FORMAT }
            : { nameIdentifier: person.id, nameIdentifierFormat: PERSISTENT_FORMAT },
      })
      samlp.getSamlResponse(
        {
          issuer: options.entityId,
          cert: options.identity.certificatePem,
          key: options.identity.privateKeyPem,
          audience: serviceProvider.entityId,
          recipient: serviceProvider.acsUrl,
          destination: serviceProvider.acsUrl,
          inResponseTo: id,
          lifetimeInSeconds: LIFETIME_SECONDS,
          signatureAlgorithm: 'rsa-sha256',
          digestAlgorithm: 'sha256',
          authnContextClassRef: PASSWORD,
          sessionIndex: `_${randomBytes(16).toString('hex')}`,
          profileMapper: mapper,
        },
        person,
        (error, xml) =>
          error || !xml
            ? reject(error ?? new Error('no response'))
            : resolve(Buffer.from(xml).toString('base64')),
      )
    })

  return { readRequest, respond }
}

const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** IdP metadata (SAML metadata section 2.4.3): one signing key, sign-on by redirect. */
export const samlMetadata = (options: {
  entityId: string
  ssoUrl: string
  identity: SigningIdentity
  nameId: 'email' | 'id'
}): string => {
  const certificate = options.identity.certificatePem.replace(/-----[A-Z ]+-----|\s/g, '')
  const format = options.nameId === 'email' ? EMAIL_FORMAT : PERSISTENT_FORMAT
  return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${escapeXml(options.entityId)}">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
        <ds:X509Data><ds:X509Certificate>${certificate}</ds:X509Certificate></ds:X509Data>
      </ds:KeyInfo>
    </md:KeyDescriptor>
    <md:NameIDFormat>${format}</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="${escapeXml(options.ssoUrl)}"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
`
}
