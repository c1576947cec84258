import type {
  BeginRequest,
  Begun,
  Callback,
  OpenConnection,
  RefusalReason,
} from '../../src/connections/contract.ts'
import { AppError } from '../../src/core/errors.ts'
import { createOutbound } from '../../src/net/outbound.ts'
import { OidcConfig } from '../../src/oidc/config.ts'
import { oidcConnection } from '../../src/oidc/oidc.ts'
import type { MisbehavingOp } from '../support/misbehaving-op.ts'

export const BASE_URL = 'http://localhost:3000'

export const CONNECTION_ID = 'con_01h2xcejqtf2nbrexx3vqjhp41'

const unhurried: BeginRequest = { loginHint: undefined, forceAuthentication: false }

/** Opens a connection to `op`, as the connections store would. */
export const openTo = (
  op: Pick<MisbehavingOp, 'issuer' | 'client'>,
  {
    config = {},
    fetch = outboundFetch(),
    now = () => new Date(),
    id = CONNECTION_ID,
    secret = op.client.secret,
  }: {
    config?: Record<string, unknown>
    fetch?: typeof globalThis.fetch | ReturnType<typeof outboundFetch>
    now?: () => Date
    id?: string
    secret?: string
  } = {},
): OpenConnection =>
  oidcConnection.open(
    {
      id,
      name: 'Test IdP',
      baseUrl: BASE_URL,
      config: OidcConfig.parse({ issuer: op.issuer, clientId: op.client.id, ...config }),
      secrets: { clientSecret: secret },
    },
    { fetch, clock: { now } },
  )

/** A fetch of its own, so with an empty cache of discovered IdPs. Idle sockets end by themselves. */
export const outboundFetch = () => createOutbound({ allowLoopback: true, userAgent: 'Portico/test' }).fetch

export const redirectOf = (begun: Begun): URL => {
  if (!('redirect' in begun.to)) throw new Error('expected a redirect')
  return new URL(begun.to.redirect)
}

/** The browser's part: to the IdP and back, once. */
export const visit = async (authorizationUrl: URL): Promise<URL> => {
  const response = await globalThis.fetch(authorizationUrl, { redirect: 'manual' })
  return new URL(response.headers.get('location') ?? '')
}

export const callbackOf = (url: URL): Callback => ({
  method: 'GET',
  query: Object.fromEntries(url.searchParams),
  form: {},
})

export const begin = (connection: OpenConnection, request = unhurried) => connection.begin(request)

/** A whole sign-in. */
export const signIn = async (connection: OpenConnection, { now = new Date(), forced = false } = {}) => {
  const begun = await begin(connection, { ...unhurried, forceAuthentication: forced })
  const callback = callbackOf(await visit(redirectOf(begun)))
  return connection.finish({ ...callback, now, expects: begun.expects })
}

/** The reason a sign-in was refused for, and what the log will hold of it. */
export const refusalOf = async (
  attempt: Promise<unknown>,
): Promise<{ reason: RefusalReason; error: AppError }> => {
  const error = await attempt.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AppError)) throw error
  return { reason: error.code as RefusalReason, error }
}
