/** Opens the connection that the fixtures are addressed to, and walks their folders. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BASE_URL, CONNECTION_ID, IDP, NOW, REQUEST_ID } from '../../fixtures/saml-responses.ts'
import type { OpenConnection, VerifiedIdentity } from '../../src/connections/contract.ts'
import { SamlConfig, SP_DECRYPTION_KEYS } from '../../src/saml/config.ts'
import { createSamlConnection } from '../../src/saml/saml.ts'
import { askNodeSaml, type SecondOpinion } from '../../src/saml/second-opinion.ts'

const folder = join(import.meta.dirname, '../../fixtures/saml')

export type Params = {
  now: string
  baseUrl: string
  connectionId: string
  idpEntityId: string
  requestId: string
  certificates: string[]
  /** What the connection has otherwise than its defaults. */
  config?: Record<string, unknown>
  expect?: Partial<VerifiedIdentity>
  reason?: string
  source?: string[]
  honest?: string
}

export type OpenOptions = {
  ask?: SecondOpinion | null
  pems?: string[]
  config?: Record<string, unknown>
  secrets?: Record<string, string>
}

export type Fixture = { name: string; xml: string; params: Params }

export const certificatePem = (name: string): string =>
  readFileSync(join(folder, 'certificates', `${name}.pem`), 'utf8')

export const readFixture = (kind: 'good' | 'bad', name: string): Fixture => ({
  name,
  xml: readFileSync(join(folder, kind, name, 'response.xml'), 'utf8'),
  params: JSON.parse(readFileSync(join(folder, kind, name, 'params.json'), 'utf8')) as Params,
})

/** The fixture connection's own key pair, made with the fixtures and good for nothing else. */
export const encryptionKey = (): string => readFileSync(join(folder, 'keys', 'sp-encryption.pem'), 'utf8')

export const fixtures = (kind: 'good' | 'bad'): Fixture[] =>
  readdirSync(join(folder, kind))
    .sort()
    .map((name) => readFixture(kind, name))

export const fixtureParams: Params = {
  now: NOW,
  baseUrl: BASE_URL,
  connectionId: CONNECTION_ID,
  idpEntityId: IDP,
  requestId: REQUEST_ID,
  certificates: ['idp'],
}

/** A second opinion that counts how often it was asked. */
export const counted = (ask: SecondOpinion = askNodeSaml): { ask: SecondOpinion; calls: () => number } => {
  let calls = 0
  return {
    ask: (request) => {
      calls += 1
      return ask(request)
    },
    calls: () => calls,
  }
}

/** The type with node-saml in this process: no test of claims waits for a thread. */
export const samlConnection = createSamlConnection(askNodeSaml)

export const openFixture = (
  params: Params,
  { ask = askNodeSaml, pems, config: over = {}, secrets = {} }: OpenOptions = {},
): OpenConnection => {
  const config = SamlConfig.parse({
    idpEntityId: params.idpEntityId,
    ssoUrl: 'https://idp.example/sso',
    spCertificate: 'unused here',
    ...params.config,
    ...over,
  })
  return createSamlConnection(ask).open(
    {
      id: params.connectionId,
      name: 'Fixture',
      baseUrl: params.baseUrl,
      // Past the schema, which would not let the weak certificate be configured.
      config: { ...config, certificates: pems ?? params.certificates.map(certificatePem) },
      secrets: { [SP_DECRYPTION_KEYS]: encryptionKey(), ...secrets },
    },
    { fetch: () => Promise.reject(new Error('no network')), clock: { now: () => new Date(params.now) } },
  )
}

/** Posts a response document to the fixture connection, as a browser would. */
export const post = (
  xml: string | Buffer,
  params: Params = fixtureParams,
  options: OpenOptions = {},
): Promise<VerifiedIdentity> =>
  openFixture(params, options).finish({
    method: 'POST',
    query: {},
    form: { SAMLResponse: Buffer.from(xml).toString('base64') },
    now: new Date(params.now),
    expects: { requestId: params.requestId },
  })
