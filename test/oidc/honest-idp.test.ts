import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BASE_URL, begin, CONNECTION_ID, callbackOf, openTo, redirectOf, refusalOf } from './opening.ts'

/** The real package, certified by the OpenID Foundation, driven as a browser would. */

const CLIENT = { id: 'portico', secret: 'honest-client-secret' }
const REDIRECT_URI = `${BASE_URL}/oidc/${CONNECTION_ID}/callback`
const SCOPES = ['openid', 'profile', 'email', 'groups']

let server: Server
let issuer: string

const openProvider = async (at: string): Promise<Provider> => {
  const keys = await Promise.all(
    ['RS256', 'ES256'].map(async (alg) => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true })
      return { ...(await exportJWK(privateKey)), alg, kid: alg, use: 'sig' }
    }),
  )
  return new Provider(at, {
    clients: [
      { client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [REDIRECT_URI] },
      {
        client_id: 'portico-es256',
        client_secret: CLIENT.secret,
        redirect_uris: [REDIRECT_URI],
        id_token_signed_response_alg: 'ES256',
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    jwks: { keys },
    cookies: { keys: ['a key for the cookies of a test'] },
    pkce: { required: () => true },
    scopes: SCOPES,
    claims: {
      openid: ['sub'],
      profile: ['name', 'given_name', 'family_name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    findAccount: (_ctx, accountId) => ({
      accountId,
      claims: async () => ({
        sub: accountId,
        name: 'Ada Lovelace',
        given_name: 'Ada',
        family_name: 'Lovelace',
        preferred_username: 'ada@example.test',
        email: 'ada@example.test',
        email_verified: true,
        groups: ['engineering', 'analysts'],
      }),
    }),
    loadExistingGrant: async ({ oidc: { client, provider, session } }) => {
      if (!client || !session?.accountId) return undefined
      const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId })
      grant.addOIDCScope(SCOPES.join(' '))
      await grant.save()
      return grant
    },
  })
}

beforeAll(async () => {
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  issuer = `http://localhost:${(server.address() as AddressInfo).port}`
  server.on('request', (await openProvider(issuer)).callback())
})
afterAll(async () => {
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })
})

/** A browser's cookies and its habit of following redirects, until one leads away from the IdP. */
const createBrowser = () => {
  const jar = new Map<string, string>()
  const remember = (response: Response): void => {
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
  }
  const cookies = () => [...jar].map(([name, value]) => `${name}=${value}`).join('; ')

  const go = async (start: URL, init: RequestInit = {}): Promise<{ at: URL; page: string }> => {
    let [at, request] = [start, init]
    for (let hop = 0; hop < 10; hop += 1) {
      const response = await fetch(at, { ...request, redirect: 'manual', headers: { cookie: cookies() } })
      remember(response)
      const location = response.headers.get('location')
      if (location === null) return { at, page: await response.text() }
      ;[at, request] = [new URL(location, at), {}]
      if (at.origin !== issuer) return { at, page: '' }
    }
    throw new Error('too many redirects')
  }
  return { go }
}

const signInAs = async (login: string, authorizationUrl: URL): Promise<URL> => {
  const browser = createBrowser()
  const { at, page } = await browser.go(authorizationUrl)
  expect(page).toContain('<form')
  const body = new URLSearchParams({ prompt: 'login', login, password: 'any' })
  return (await browser.go(at, { method: 'POST', body })).at
}

describe('a sign-in through oidc-provider', () => {
  it('goes all the way, from discovery to the verified identity', async () => {
    const connection = openTo({ issuer, client: CLIENT }, { config: { scopes: SCOPES } })
    await connection.test()
    const begun = await begin(connection, { loginHint: 'ada@example.test', forceAuthentication: true })
    const url = await signInAs('ada-1815', redirectOf(begun))
    expect(url.href.startsWith(`${REDIRECT_URI}?`)).toBe(true)
    const callback = callbackOf(url)
    expect(connection.flowId(callback)).toBe(begun.flowId)
    const now = new Date()
    const identity = await connection.finish({ ...callback, now, expects: begun.expects })
    expect(identity).toMatchObject({
      subject: 'ada-1815',
      linkValues: { externalId: 'ada-1815', userName: 'ada@example.test' },
      email: 'ada@example.test',
      emailVerified: true,
      displayName: 'Ada Lovelace',
      givenName: 'Ada',
      familyName: 'Lovelace',
      groups: ['engineering', 'analysts'],
    })
    expect(Math.abs(identity.authTime.getTime() - now.getTime())).toBeLessThan(60_000)
  })

  it('goes as far with ES256 and the secret in the body', async () => {
    const config = { idTokenAlgorithm: 'ES256', clientAuthentication: 'client_secret_post' }
    const connection = openTo({ issuer, client: { ...CLIENT, id: 'portico-es256' } }, { config })
    const begun = await begin(connection)
    const callback = callbackOf(await signInAs('grace-1906', redirectOf(begun)))
    const identity = await connection.finish({ ...callback, now: new Date(), expects: begun.expects })
    expect(identity.subject).toBe('grace-1906')
  })

  it('ends in a refusal where the same token is not of the configured algorithm', async () => {
    const config = { clientAuthentication: 'client_secret_post' }
    const connection = openTo({ issuer, client: { ...CLIENT, id: 'portico-es256' } }, { config })
    const begun = await begin(connection)
    const callback = callbackOf(await signInAs('grace-1906', redirectOf(begun)))
    const finish = connection.finish({ ...callback, now: new Date(), expects: begun.expects })
    expect((await refusalOf(finish)).reason).toBe('algorithm_refused')
  })

  it('ends in a refusal where the client secret is wrong, and where the code is used twice', async () => {
    const wrong = openTo({ issuer, client: CLIENT }, { secret: 'wrong' })
    const begun = await begin(wrong)
    const callback = callbackOf(await signInAs('ada-1815', redirectOf(begun)))
    const answer = { ...callback, now: new Date(), expects: begun.expects }
    expect((await refusalOf(wrong.finish(answer))).reason).toBe('idp_misconfigured')
    const right = openTo({ issuer, client: CLIENT })
    expect((await right.finish(answer)).subject).toBe('ada-1815')
    expect((await refusalOf(right.finish(answer))).reason).toBe('code_refused')
  })

  it('ends in a refusal where nobody is signed in and nobody may be asked', async () => {
    const connection = openTo({ issuer, client: CLIENT })
    const begun = await begin(connection)
    const silent = redirectOf(begun)
    silent.searchParams.set('prompt', 'none')
    const { at } = await createBrowser().go(silent)
    const finish = connection.finish({ ...callbackOf(at), now: new Date(), expects: begun.expects })
    const { reason, error } = await refusalOf(finish)
    expect([reason, error.detail?.fault]).toEqual(['idp_refused', 'login_required'])
  })
})
