import { createHash, randomBytes } from 'node:crypto'
import { addSeconds, type Clock } from '../../../src/core/clock.ts'
import type { Ctx, OrgCtx } from '../../../src/core/ctx.ts'
import { AppError } from '../../../src/core/errors.ts'
import { toId } from '../../../src/core/ids.ts'
import { forOrg, inTx } from '../../../src/db/transaction.ts'
import type { UserFields } from '../../../src/directory/user.ts'
import { createLogger } from '../../../src/http/log.ts'
import { createServices, type Services } from '../../../src/services.ts'
import type { Session } from '../../../src/sessions/session.ts'
import { testMasterKey } from '../../support/broker.ts'

export type MovableClock = Clock & { advance: (seconds: number) => void; moveTo: (instant: Date) => void }

/** Stands still until it is moved. */
export const movableClock = (start = new Date()): MovableClock => {
  let instant = start
  return {
    now: () => instant,
    advance: (seconds) => {
      instant = addSeconds(instant, seconds)
    },
    moveTo: (to) => {
      instant = to
    },
  }
}

export const BASE_URL = 'http://localhost:3000'

/** Every capability, without HTTP. Two of them on one database are two nodes: each has its own caches. */
export const servicesOn = (clock: Clock, baseUrl = BASE_URL): Services =>
  createServices({
    baseUrl,
    masterKey: testMasterKey,
    outboundAllowLoopback: true,
    clock,
    logger: createLogger('silent'),
  })

export const pkce = (): { verifier: string; challenge: string } => {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

export const REDIRECT_URI = 'https://app.test/callback'

export const person = (userName: string, fields: Partial<UserFields> = {}): UserFields => ({
  userName,
  externalId: null,
  email: userName,
  displayName: 'Someone Tester',
  givenName: 'Someone',
  familyName: 'Tester',
  active: true,
  resource: {},
  ...fields,
})

/** An organisation with a draft connection: enough for a user to have a session. */
export const tenant = async (
  services: Services,
  ctx: Ctx,
  name: string,
): Promise<{ ctx: OrgCtx; connectionId: string }> => {
  const { id } = await services.organisations.create(ctx, { name })
  const org = forOrg(ctx, id)
  await services.organisations.addDomain(org, { name, verified: true })
  const { id: connectionId } = await services.connections.create(org, { type: 'oidc', name })
  return { ctx: org, connectionId }
}

export type Tenant = Awaited<ReturnType<typeof tenant>>

export const registerApp = async (services: Services, ctx: Ctx, audience?: string) => {
  const { client, clientSecret } = await services.clients.create(ctx, {
    name: 'An app',
    redirectUris: [REDIRECT_URI],
    ...(audience === undefined ? {} : { audience }),
  })
  return { id: client.id, clientId: toId('cli', client.id), clientSecret, audience: client.audience }
}

export type App = Awaited<ReturnType<typeof registerApp>>

/** A session as the journey would create it, and its cookie. */
export const openSession = (
  services: Services,
  { ctx, connectionId }: Tenant,
  userId: string,
  authTime: Date,
): Promise<{ session: Session; cookie: string }> =>
  inTx(ctx, (tx) =>
    services.sessions.create(tx, {
      userId,
      connectionId,
      acr: 'urn:example:acr',
      amr: ['pwd', 'otp'],
      authTime,
      idpSession: undefined,
    }),
  )

export const OFFLINE = 'openid profile email offline_access'

/** A code of a session, and the verifier that redeems it. */
export const issueCode = async (
  services: Services,
  { ctx }: Tenant,
  session: Session,
  app: App,
  { scope = OFFLINE, nonce = null }: { scope?: string; nonce?: string | null } = {},
): Promise<{ code: string; verifier: string; challenge: string }> => {
  const { verifier, challenge } = pkce()
  const code = await inTx(ctx, (tx) =>
    services.codes.issue(tx, session, {
      clientId: app.id,
      redirectUri: REDIRECT_URI,
      codeChallenge: challenge,
      scope,
      nonce,
    }),
  )
  return { code, verifier, challenge }
}

/** The code of whatever `attempt` was refused with; a defect is thrown on, a success is told by its own word. */
export const refusalCode = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
  return 'not refused'
}
