import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dispatcher, request } from 'undici'
import type { Person } from '../../src/demo/peers.ts'
import { createUserAgent, type Page } from '../../src/demo/user-agent.ts'

export const REDIRECT_URI = 'https://app.portico.test/callback'

/** An authorization code that the browser was given, and what it takes to redeem it. */
export type Answered = { code: string; codeVerifier: string }

export type TokenAnswer = { access_token: string; refresh_token: string }

/** A request that the broker or the proxy in front of it did not answer as it should have. */
const fault = (what: string, { status, text }: { status: number; text: string }): Error =>
  new Error(`${what} was answered with ${status}: ${text.replaceAll(/\s+/g, ' ').slice(0, 200)}`)

const demand = (what: string, page: Page, status: number): Page => {
  if (page.status !== status) throw fault(what, page)
  return page
}

/** A platform app without a server of its own: what its back channel and its users' browsers send. */
export const createPlatformApp = (options: {
  baseUrl: string
  clientId: string
  clientSecret: string
  dispatcher: Dispatcher
}) => {
  const { baseUrl, clientId, clientSecret, dispatcher } = options

  /** A new browser signs somebody in, as far as the redirect that carries the code. */
  const signIn = async (person: Person): Promise<Answered> => {
    const agent = createUserAgent({ dispatcher })
    const codeVerifier = randomBytes(32).toString('base64url')
    const parameters = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: REDIRECT_URI,
      scope: 'openid offline_access',
      state: randomBytes(16).toString('base64url'),
      nonce: randomBytes(16).toString('base64url'),
      code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
      code_challenge_method: 'S256',
    })
    const identifier = demand(
      'the login page',
      await agent.get(`${baseUrl}/oauth2/authorize?${parameters}`),
      200,
    )
    const idp = demand(
      'the address',
      await agent.submit(identifier.form('email'), { email: person.email }),
      200,
    )
    const handOver = demand('the IdP', await agent.submit(idp.form('person'), { person: person.id }), 200)
    const done = demand(
      'the SAML response',
      await agent.submit(handOver.form('SAMLResponse'), {}, { follow: (next) => next.origin === baseUrl }),
      303,
    )
    await agent.close()
    const code = new URL(String(done.headers.location)).searchParams.get('code')
    if (code === null) throw fault('the SAML response', done)
    return { code, codeVerifier }
  }

  const send = async (path: string, init: { authorization: string; body?: string }): Promise<unknown> => {
    const { statusCode, body } = await request(`${baseUrl}${path}`, {
      dispatcher,
      method: init.body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: init.authorization,
        ...(init.body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      body: init.body ?? null,
    })
    const text = await body.text()
    if (statusCode !== 200) throw fault(path, { status: statusCode, text })
    return JSON.parse(text)
  }

  const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`

  const grant = async (fields: Record<string, string>): Promise<TokenAnswer> =>
    (await send('/oauth2/token', {
      authorization,
      body: new URLSearchParams(fields).toString(),
    })) as TokenAnswer

  return {
    signIn,
    redeem: ({ code, codeVerifier }: Answered) =>
      grant({
        grant_type: 'authorization_code',
        code,
        code_verifier: codeVerifier,
        redirect_uri: REDIRECT_URI,
      }),
    refresh: (tokens: TokenAnswer) =>
      grant({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }),
    /** Throws unless the broker accepts the access token. */
    userInfo: (tokens: TokenAnswer) =>
      send('/oauth2/userinfo', { authorization: `Bearer ${tokens.access_token}` }),
  }
}

export type PlatformApp = ReturnType<typeof createPlatformApp>

export type Load = {
  /** Codes that were answered and not yet redeemed. */
  codes: Answered[]
  tokens: TokenAnswer[]
  /** What was not answered, or refused. */
  failures: string[]
  /** Resolves once this many more sign-ins have been answered. */
  answered: (more: number) => Promise<void>
  stop: () => Promise<void>
}

/** More than any test allows: something is wrong from the ground up, and waiting for it would be in vain. */
const HOPELESS = 40

/** People who sign in without a pause, each in a new browser; every other code is redeemed at once. */
export const startLoad = (app: PlatformApp, people: readonly Person[]): Load => {
  const codes: Answered[] = []
  const tokens: TokenAnswer[] = []
  const failures: string[] = []
  let going = true
  let count = 0

  const once = async (person: Person): Promise<void> => {
    const answered = await app.signIn(person)
    count += 1
    if (count % 2 === 0) codes.push(answered)
    else tokens.push(await app.redeem(answered))
  }
  const worker = async (person: Person): Promise<void> => {
    while (going && failures.length < HOPELESS) {
      await once(person).catch((error: unknown) => failures.push(String(error)))
      // A request that fails before it leaves would otherwise keep everything else from running.
      await sleep(1)
    }
  }
  const workers = people.map(worker)
  const answered = async (more: number): Promise<void> => {
    const target = count + more
    while (count < target) {
      if (failures.length >= HOPELESS) throw new Error(`Nobody gets in: ${failures[0]}`)
      await sleep(10)
    }
  }
  return {
    codes,
    tokens,
    failures,
    answered,
    stop: async () => {
      going = false
      await Promise.all(workers)
    },
  }
}
