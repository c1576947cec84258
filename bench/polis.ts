/**
 * Polis as a library to be measured: `authorize`, `samlResponse` and `token` are called in this process, without HTTP,
 * which is in its favour. PKCE and an ES256 ID token, as Portico has them; it issues an opaque access token and keeps
 * no user and no session.
 */
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { demandCode, newPkce } from './drivers/http.ts'
import { runClosedLoop } from './harness/closed-loop.ts'
import { type IdentityProvider, metadataOf, readAuthnRequest } from './harness/identity-provider.ts'
import { type Child, startChild } from './harness/messages.ts'
import { loadPeer } from './harness/peers.ts'
import { answerAsServer } from './harness/probe.ts'

export type PolisOptions = {
  peers: string
  databaseUrl: string
  idp: IdentityProvider
  people: number
}

type Redirect = { redirect_url?: string; error?: string }

/** What is used here of its interface. */
type Polis = {
  connectionAPIController: {
    createSAMLConnection: (body: Record<string, unknown>) => Promise<{ clientID: string }>
  }
  oauthController: {
    authorize: (body: Record<string, unknown>) => Promise<Redirect>
    samlResponse: (body: { SAMLResponse: string; RelayState: string }) => Promise<Redirect>
    token: (body: Record<string, unknown>) => Promise<{ access_token?: string; id_token?: string }>
  }
}

type PolisModule = { default: { default: (options: Record<string, unknown>) => Promise<Polis> } }

const ORIGIN = 'http://localhost:5225'
const SAML_PATH = '/api/oauth/saml'
const AUDIENCE = 'https://saml.bench.example'
const REDIRECT_URI = 'http://localhost:9999/callback'

const base64Pem = (pem: string | Buffer): string => Buffer.from(pem).toString('base64')

const openPolis = async ({ peers, databaseUrl }: PolisOptions): Promise<Polis> => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const { default: polis } = await loadPeer<PolisModule>(peers, '@boxyhq/saml-jackson')
  return polis.default({
    externalUrl: ORIGIN,
    samlPath: SAML_PATH,
    samlAudience: AUDIENCE,
    noAnalytics: true,
    db: { engine: 'sql', type: 'postgres', url: databaseUrl, ttl: 300, cleanupLimit: 1000 },
    openid: {
      jwsAlg: 'ES256',
      jwtSigningKeys: { private: base64Pem(privateKey), public: base64Pem(publicKey) },
    },
    logger: { info: () => undefined },
  })
}

const demandRedirect = (answer: Redirect): string => {
  if (answer.error !== undefined || answer.redirect_url === undefined)
    throw new Error(`Polis refused: ${answer.error}`)
  return answer.redirect_url
}

const signInWith = ({ oauthController: oauth }: Polis, clientId: string, signer: Child, people: number) => {
  let next = 0
  return async (): Promise<void> => {
    const { verifier, challenge } = newPkce()
    next = (next + 1) % people
    const begun = await oauth.authorize({
      client_id: clientId,
      response_type: 'code',
      redirect_uri: REDIRECT_URI,
      scope: 'openid',
      state: 'a-state-of-the-app',
      nonce: 'a-nonce-of-the-app',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    })
    const { id, relayState } = readAuthnRequest(demandRedirect(begun))
    const SAMLResponse = await signer.ask<string>('sign', {
      acsUrl: ORIGIN + SAML_PATH,
      audience: AUDIENCE,
      inResponseTo: id,
      email: `person${next}@bench.example`,
    })
    const back = demandRedirect(await oauth.samlResponse({ SAMLResponse, RelayState: relayState }))
    const tokens = await oauth.token({
      grant_type: 'authorization_code',
      code: demandCode({ location: back }, REDIRECT_URI),
      redirect_uri: REDIRECT_URI,
      code_verifier: verifier,
    })
    if (!tokens.access_token || !tokens.id_token) throw new Error('Polis gave no tokens')
  }
}

let operation: (() => Promise<void>) | undefined

answerAsServer({
  start: async (options: PolisOptions) => {
    const signer = startChild(join(import.meta.dirname, 'signer.js'))
    await signer.ask('open', options.idp)
    const polis = await openPolis(options)
    const { clientID } = await polis.connectionAPIController.createSAMLConnection({
      tenant: 'bench.example',
      product: 'bench',
      redirectUrl: [REDIRECT_URI],
      defaultRedirectUrl: REDIRECT_URI,
      rawMetadata: metadataOf(options.idp),
    })
    operation = signInWith(polis, clientID, signer, options.people)
  },
  drive: (window: { seconds: number; concurrency: number }) => {
    if (!operation) throw new Error('Polis is not started')
    return runClosedLoop(operation, window)
  },
})
