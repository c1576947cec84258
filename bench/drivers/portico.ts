/** The three operations at Portico, over HTTP. */
import {
  type IdentityProvider,
  openIdentityProvider,
  readAuthnRequest,
} from '../harness/identity-provider.ts'
import { type AppClient, type Driver, inParallel, takeTurns } from './driver.ts'
import { type Cookies, demandCode, demandText, newPkce, openHttp } from './http.ts'

export type PorticoSetup = {
  origin: string
  client: AppClient
  connection: { acsUrl: string; entityId: string }
  idp: IdentityProvider
  domain: string
  people: number
  concurrency: number
}

const emailOf = (setup: PorticoSetup, person: number): string => `person${person}@${setup.domain}`

const openPortico = (setup: PorticoSetup) => {
  const { client, connection } = setup
  const http = openHttp(setup.origin, setup.concurrency)
  const respond = openIdentityProvider(setup.idp)
  const acsPath = new URL(connection.acsUrl).pathname

  const authorize = (scope: string, challenge: string, more: Record<string, string>, cookies?: Cookies) => {
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client.clientId,
      redirect_uri: client.redirectUri,
      scope,
      state: 'a-state-of-the-app',
      nonce: 'a-nonce-of-the-app',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      ...more,
    })
    return http.get(`/oauth2/authorize?${query}`, cookies)
  }

  const token = (parameters: Record<string, string>) =>
    http.post('/oauth2/token', {
      ...parameters,
      client_id: client.clientId,
      client_secret: client.clientSecret,
    })

  const redeem = (code: string, verifier: string) =>
    token({
      grant_type: 'authorization_code',
      code,
      redirect_uri: client.redirectUri,
      code_verifier: verifier,
    })

  /** The whole sign-in in a fresh browser. */
  const signIn = async (person: number, scope: string) => {
    const email = emailOf(setup, person)
    const { verifier, challenge } = newPkce()
    const begun = await authorize(scope, challenge, { login_hint: email })
    const { id, relayState } = readAuthnRequest(begun.location ?? '')
    const SAMLResponse = respond({
      acsUrl: connection.acsUrl,
      audience: connection.entityId,
      inResponseTo: id,
      email,
    })
    const back = await http.post(acsPath, { SAMLResponse, RelayState: relayState }, begun.cookies)
    const tokens = await redeem(demandCode(back, client.redirectUri), verifier)
    demandText(tokens, 'access_token')
    return { cookies: back.cookies, tokens }
  }

  return { authorize, token, redeem, signIn }
}

const SCOPE = 'openid profile email'

export const porticoLogin = (setup: PorticoSetup): Driver => {
  const { signIn } = openPortico(setup)
  const turn = takeTurns(setup.concurrency, setup.people)
  return {
    // Everybody once: from then on users and identities exist, as on any day but the first.
    prepare: () =>
      inParallel(setup.people, setup.concurrency, async (person) => void (await signIn(person, SCOPE))),
    operation: async (slot) => void (await signIn(turn(slot), SCOPE)),
  }
}

export const porticoCode = (setup: PorticoSetup): Driver => {
  const { authorize, redeem, signIn } = openPortico(setup)
  const turn = takeTurns(setup.concurrency, setup.people)
  const browsers: Cookies[] = []
  return {
    prepare: () =>
      inParallel(setup.people, setup.concurrency, async (person) => {
        browsers[person] = (await signIn(person, SCOPE)).cookies
      }),
    operation: async (slot) => {
      const { verifier, challenge } = newPkce()
      const answer = await authorize(SCOPE, challenge, {}, browsers[turn(slot)])
      const code = demandCode(answer, setup.client.redirectUri)
      demandText(await redeem(code, verifier), 'access_token')
    },
  }
}

export const porticoRefresh = (setup: PorticoSetup): Driver => {
  const { signIn, token } = openPortico(setup)
  const turn = takeTurns(setup.concurrency, setup.people)
  const held: string[] = []
  return {
    prepare: () =>
      inParallel(setup.people, setup.concurrency, async (person) => {
        const { tokens } = await signIn(person, `${SCOPE} offline_access`)
        held[person] = demandText(tokens, 'refresh_token')
      }),
    operation: async (slot) => {
      const person = turn(slot)
      const used = held[person] as string
      const answer = await token({ grant_type: 'refresh_token', refresh_token: used })
      const next = demandText(answer, 'refresh_token')
      if (next === used) throw new Error('the refresh token was not rotated')
      held[person] = next
    },
  }
}
