/** The code and refresh operations at oidc-provider, over HTTP. */
import { type AppClient, type Driver, inParallel, takeTurns } from './driver.ts'
import { type Cookies, demandCode, demandText, newPkce, openHttp } from './http.ts'

export type OidcProviderSetup = { origin: string; client: AppClient; people: number; concurrency: number }

const SCOPE = 'openid profile email'

const openProvider = (setup: OidcProviderSetup) => {
  const { client } = setup
  const http = openHttp(setup.origin, setup.concurrency)

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
    return http.get(`/auth?${query}`, cookies)
  }

  const token = (parameters: Record<string, string>) =>
    http.post('/token', { ...parameters, client_id: client.clientId, client_secret: client.clientSecret })

  const redeem = (code: string, verifier: string) =>
    token({
      grant_type: 'authorization_code',
      code,
      redirect_uri: client.redirectUri,
      code_verifier: verifier,
    })

  /** authorize > interaction (which asks nobody) > resume > the app; returns the browser's cookies and the tokens. */
  const signIn = async (person: number, scope: string, more: Record<string, string> = {}) => {
    const { verifier, challenge } = newPkce()
    const cookies = new Map<string, string>()
    let answer = await authorize(scope, challenge, { login_hint: `person${person}`, ...more })
    while (answer.location && !answer.location.startsWith(client.redirectUri)) {
      for (const [name, value] of answer.cookies) cookies.set(name, value)
      const next = new URL(answer.location, setup.origin)
      answer = await http.get(`${next.pathname}${next.search}`, cookies)
    }
    for (const [name, value] of answer.cookies) cookies.set(name, value)
    const session = new Map(
      [...cookies].filter(([name, value]) => name.startsWith('_session') && value !== ''),
    )
    const tokens = await redeem(demandCode(answer, client.redirectUri), verifier)
    demandText(tokens, 'access_token')
    return { session, tokens }
  }

  return { authorize, token, redeem, signIn }
}

export const oidcProviderCode = (setup: OidcProviderSetup): Driver => {
  const { authorize, redeem, signIn } = openProvider(setup)
  const turn = takeTurns(setup.concurrency, setup.people)
  const browsers: Cookies[] = []
  return {
    prepare: () =>
      inParallel(setup.people, setup.concurrency, async (person) => {
        browsers[person] = (await signIn(person, SCOPE)).session
      }),
    operation: async (slot) => {
      const { verifier, challenge } = newPkce()
      const answer = await authorize(SCOPE, challenge, {}, browsers[turn(slot)])
      const code = demandCode(answer, setup.client.redirectUri)
      demandText(await redeem(code, verifier), 'access_token')
    },
  }
}

export const oidcProviderRefresh = (setup: OidcProviderSetup): Driver => {
  const { signIn, token } = openProvider(setup)
  const turn = takeTurns(setup.concurrency, setup.people)
  const held: string[] = []
  return {
    prepare: () =>
      inParallel(setup.people, setup.concurrency, async (person) => {
        const { tokens } = await signIn(person, `${SCOPE} offline_access`, { prompt: 'consent' })
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
