/**
 * The sign-in journey: identify > IdP > link > session. Owns `login_requests`, `login_flows`, `replay_keys`.
 * Invariants: a flow is bound to the browser it began in and is spent once; the identity is verified before anything is
 * written; flow, replay key, user, session, code and audit event stand or fall in one transaction; every refusal leaves
 * exactly one audit row and a reference to it.
 */
import type { Logger } from 'pino'
import type { Audit } from '../audit/audit.ts'
import type { Clients } from '../clients/clients.ts'
import type { Connection } from '../connections/connection.ts'
import type { Connections } from '../connections/connections.ts'
import {
  type Begun,
  type Callback,
  type Expects,
  type OpenConnection,
  type RefusalReason,
  refusal,
  type VerifiedIdentity,
} from '../connections/contract.ts'
import { addSeconds, type Clock } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { parseId, toId } from '../core/ids.ts'
import type { Envelope, Place } from '../crypto/envelope.ts'
import { randomToken, sha256 } from '../crypto/hash.ts'
import { forOrg, inTx, lookUpOrg } from '../db/transaction.ts'
import type { Linking } from '../directory/linking.ts'
import type { Organisations } from '../directory/organisations.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Codes } from '../tokens/codes.ts'
import * as flows from './flows.repo.ts'
import { isRefusalReason } from './refusals.ts'
import * as requests from './requests.repo.ts'

/** People fetch coffee, reset passwords and find their phone while at the IdP. */
const FLOW_LIFETIME_SECONDS = 3600

/** What a platform app asked for; checked by `provider/authorize` before it gets here. */
export type LoginRequest = {
  clientId: string
  redirectUri: string
  scope: string
  state: string | null
  nonce: string | null
  codeChallenge: string
  prompt: 'login' | null
}

export type Waiting = { clientName: string; clientOrgId: string | null; forceAuthentication: boolean }

export type CallbackOutcome =
  | { signedIn: { redirectTo: string; sessionCookie: string } }
  | { refused: { reference: string; requestHandle: string | undefined } }

export type Journey = ReturnType<typeof createJourney>

type Flow = { row: flows.LoginFlowRow; expects: Expects; requestHandle: string }

const placeOf = (handleHash: Buffer): Place => ({
  table: 'login_flows',
  column: 'expects_sealed',
  row: handleHash.toString('hex'),
})

/** The answer to the app, with our issuer beside the code so that it cannot be mixed up (RFC 9207). */
export const authorizationResponse = (
  redirectUri: string,
  parameters: Record<string, string | null>,
  issuer: string,
): string => {
  const url = new URL(redirectUri)
  for (const [name, value] of Object.entries({ ...parameters, iss: issuer })) {
    if (value !== null) url.searchParams.append(name, value)
  }
  return url.href
}

type Deps = {
  organisations: Organisations
  connections: Connections
  clients: Clients
  linking: Linking
  sessions: Sessions
  codes: Codes
  envelope: Envelope
  audit: Audit
  clock: Clock
  logger: Logger
  issuer: string
}

export const createJourney = (deps: Deps) => {
  const {
    organisations,
    connections,
    clients,
    linking,
    sessions,
    codes,
    envelope,
    audit,
    clock,
    logger,
    issuer,
  } = deps

  /** Keeps what the app asked for; returns the handle that the pages carry, worthless in any other browser. */
  const begin = async (ctx: Ctx, browser: string, request: LoginRequest): Promise<string> => {
    const handle = randomToken()
    const now = clock.now()
    await requests.insert(ctx, {
      handle_hash: sha256(handle),
      browser_hash: sha256(browser),
      client_id: request.clientId,
      redirect_uri: request.redirectUri,
      scope: request.scope,
      state: request.state,
      nonce: request.nonce,
      code_challenge: request.codeChallenge,
      prompt: request.prompt,
      created_at: now,
      expires_at: addSeconds(now, FLOW_LIFETIME_SECONDS),
    })
    return handle
  }

  /** The sign-in that waits behind a handle in this browser; undefined where there is none. */
  const waiting = async (
    ctx: Ctx,
    browser: string | undefined,
    handle: string,
  ): Promise<Waiting | undefined> => {
    if (browser === undefined) return undefined
    const row = await requests.findWaiting(ctx, sha256(handle), sha256(browser), clock.now())
    const client = row && (await clients.byUuid(ctx, row.client_id))
    return (
      client && {
        clientName: client.name,
        clientOrgId: client.orgId,
        forceAuthentication: row.prompt === 'login',
      }
    )
  }

  const noRoute = (): AppError =>
    new AppError(
      'not_found',
      'no_route',
      'We don’t know a company sign-in for this address. Check the spelling, or ask your IT team which address to use.',
    )

  /** From an address to a connection: one answer for every domain that routes nowhere, whatever the reason. */
  const route = async (
    ctx: Ctx,
    email: string,
    clientOrgId: string | null,
  ): Promise<{ ctx: OrgCtx; connectionId: string }> => {
    const domainName = email.slice(email.lastIndexOf('@') + 1).toLowerCase()
    const orgId = /^[^\s@]+@[^\s@]+$/.test(email) ? await lookUpOrg(ctx, 'org_of_domain', domainName) : null
    if (orgId === null || (clientOrgId !== null && clientOrgId !== orgId)) throw noRoute()
    const orgCtx = forOrg(ctx, orgId)
    const domain = await organisations.findVerifiedDomain(orgCtx, domainName)
    const connectionId = domain && (await connections.forDomain(orgCtx, domain.connectionId))
    if (connectionId === undefined) throw noRoute()
    return { ctx: orgCtx, connectionId }
  }

  /** As `route`, for an app that names the organisation: only where it has one enabled connection. */
  const routeByOrg = async (ctx: Ctx, orgId: string, clientOrgId: string | null) => {
    if (clientOrgId !== null && clientOrgId !== orgId) throw noRoute()
    const orgCtx = forOrg(ctx, orgId)
    const connectionId = await connections.forDomain(orgCtx, null)
    if (connectionId === undefined) throw noRoute()
    return { ctx: orgCtx, connectionId }
  }

  /**
   * Sends the browser to the IdP of an address or an organisation.
   * @throws AppError `not_found`/`no_route` | `forbidden`/`request_expired` | `upstream`
   */
  const identify = async (
    ctx: Ctx,
    browser: string | undefined,
    handle: string,
    who: { email: string } | { orgId: string },
  ): Promise<Begun['to']> => {
    const pending = await waiting(ctx, browser, handle)
    if (!pending || browser === undefined) throw refusal('request_expired')
    const routed =
      'email' in who
        ? await route(ctx, who.email.trim(), pending.clientOrgId)
        : await routeByOrg(ctx, who.orgId, pending.clientOrgId)
    const { opened } = await connections.open(routed.ctx, routed.connectionId)
    const begun = await opened.begin({
      loginHint: 'email' in who ? who.email.trim() : undefined,
      forceAuthentication: pending.forceAuthentication,
    })
    const handleHash = sha256(begun.flowId)
    const now = clock.now()
    await inTx(routed.ctx, async (tx) =>
      flows.insert(tx, {
        handle_hash: handleHash,
        connection_id: routed.connectionId,
        browser_hash: sha256(browser),
        request_hash: sha256(handle),
        expects_sealed: await envelope.seal(
          tx,
          placeOf(handleHash),
          JSON.stringify({ expects: begun.expects, handle }),
        ),
        created_at: now,
        expires_at: addSeconds(now, FLOW_LIFETIME_SECONDS),
      }),
    )
    return begun.to
  }

  const loadFlow = (
    ctx: OrgCtx,
    connectionId: string,
    flowId: string,
    browser: string | undefined,
  ): Promise<Flow> =>
    inTx(ctx, async (tx) => {
      const handleHash = sha256(flowId)
      const row =
        browser === undefined
          ? undefined
          : await flows.find(tx, { handleHash, connectionId, browserHash: sha256(browser) })
      if (!row) throw refusal('flow_unknown')
      if (row.consumed_at !== null) throw refusal('replayed')
      if (row.expires_at <= clock.now()) throw refusal('request_expired')
      const opened = JSON.parse(
        (await envelope.open(tx, placeOf(handleHash), row.expects_sealed)).toString(),
      ) as {
        expects: Expects
        handle: string
      }
      return { row, expects: opened.expects, requestHandle: opened.handle }
    })

  /** Everything a sign-in writes. Each `consume` is the one conditional statement that makes a second use fail. */
  const admit = (ctx: OrgCtx, connection: Connection, flow: Flow, identity: VerifiedIdentity) =>
    inTx(ctx, async (tx) => {
      const now = clock.now()
      if (!(await flows.consume(tx, flow.row.handle_hash, now))) throw refusal('replayed')
      const replay = {
        connectionId: connection.id,
        keyHash: sha256(identity.replay.key),
        until: identity.replay.until,
      }
      if (!(await flows.insertReplayKey(tx, replay))) throw refusal('replayed')
      if (!(await connections.holdEnabled(tx, connection.id))) throw refusal('connection_disabled')
      const request = await requests.consume(tx, flow.row.request_hash, now)
      if (!request) throw refusal('request_expired')
      const user = await linking.resolve(tx, connection.id, connection.rules, identity)
      const { session, cookie } = await sessions.create(tx, {
        userId: user.id,
        connectionId: connection.id,
        acr: identity.acr,
        amr: identity.amr,
        authTime: identity.authTime,
        idpSession: identity.sessionIndex,
      })
      const code = await codes.issue(tx, session, {
        clientId: request.client_id,
        redirectUri: request.redirect_uri,
        codeChallenge: request.code_challenge,
        scope: request.scope,
        nonce: request.nonce,
      })
      await audit.record(tx, {
        action: 'login.succeeded',
        actor: { type: 'user', id: user.id },
        target: { type: 'session', id: session.id },
        facts: { connection: connection.id, type: connection.type, client: request.client_id },
      })
      const redirectTo = authorizationResponse(request.redirect_uri, { code, state: request.state }, issuer)
      return { redirectTo, sessionCookie: cookie }
    })

  const logRefusal = (ctx: Ctx, reason: string, connectionId: string | null, error: AppError): void => {
    logger.info(
      { requestId: ctx.requestId, reason, connection: connectionId, detail: error.detail },
      'login refused',
    )
  }

  /**
   * One audit row a refusal: its own where a flow of ours is spent for it, a counted one where anybody could have
   * caused it. A refused flow is spent, so one flow leaves one row.
   */
  const recordRefusal = (
    ctx: OrgCtx,
    connectionId: string,
    reason: RefusalReason,
    flow: Flow | undefined,
  ): Promise<string> =>
    inTx(ctx, async (tx: OrgTx) => {
      const event = {
        action: 'login.refused',
        outcome: 'refused' as const,
        reason,
        target: { type: 'connection', id: connectionId },
      }
      const own = flow !== undefined && (await flows.consume(tx, flow.row.handle_hash, clock.now()))
      return own ? audit.record(tx, event) : audit.count(tx, event)
    })

  const refuse = async (
    ctx: Ctx | OrgCtx,
    connectionId: string | null,
    error: unknown,
    flow: Flow | undefined,
  ): Promise<CallbackOutcome> => {
    if (!(error instanceof AppError) || !isRefusalReason(error.code)) throw error
    logRefusal(ctx, error.code, connectionId, error)
    const eventId =
      'orgId' in ctx && connectionId !== null
        ? await recordRefusal(ctx, connectionId, error.code, flow)
        : await audit.countForPlatform(ctx, {
            action: 'login.refused',
            outcome: 'refused',
            reason: error.code,
          })
    return { refused: { reference: toId('evt', eventId), requestHandle: flow?.requestHandle } }
  }

  const demandFlowId = (opened: OpenConnection, input: Callback): string => {
    const flowId = opened.flowId(input)
    if (flowId === null) throw refusal('unsolicited')
    return flowId
  }

  /**
   * What comes back from the IdP, in order: connection by the ID in the URL; flow of this browser; verification; one
   * transaction. Refusals come back as an outcome; anything thrown is not a refusal (the database, a defect).
   */
  const callback = async (
    ctx: Ctx,
    request: { type: string; connection: string; browser: string | undefined; input: Callback },
  ): Promise<CallbackOutcome> => {
    const connectionId = parseId('con', request.connection)
    const orgId = connectionId === null ? null : await lookUpOrg(ctx, 'org_of_connection', connectionId)
    if (connectionId === null || orgId === null) return refuse(ctx, null, refusal('flow_unknown'), undefined)
    const orgCtx = forOrg(ctx, orgId)
    let flow: Flow | undefined
    try {
      const { connection, opened } = await connections.open(orgCtx, connectionId)
      if (connection.type !== request.type) throw refusal('flow_unknown')
      if (connection.status !== 'enabled') throw refusal('connection_disabled')
      flow = await loadFlow(orgCtx, connectionId, demandFlowId(opened, request.input), request.browser)
      const identity = await opened.finish({ ...request.input, now: clock.now(), expects: flow.expects })
      return { signedIn: await admit(orgCtx, connection, flow, identity) }
    } catch (error) {
      return refuse(orgCtx, connectionId, error, flow)
    }
  }

  /** The reason behind a reference shown on an error page; undefined where there is none. */
  const refusalOf = async (ctx: Ctx, reference: string): Promise<RefusalReason | undefined> => {
    const id = parseId('evt', reference)
    if (id === null) return undefined
    const orgId = await lookUpOrg(ctx, 'org_of_login_refusal', id)
    const event =
      orgId === null
        ? await audit.findForPlatform(ctx, id)
        : await inTx(forOrg(ctx, orgId), (tx) => audit.find(tx, id))
    const reason = event?.action === 'login.refused' ? event.reason : null
    return reason !== null && reason !== undefined && isRefusalReason(reason) ? reason : undefined
  }

  /** Counts a refusal met before any connection was (an expired page, a handle of another browser). */
  const countRefusal = async (ctx: Ctx, reason: RefusalReason): Promise<string> =>
    toId('evt', await audit.countForPlatform(ctx, { action: 'login.refused', outcome: 'refused', reason }))

  return { begin, waiting, identify, callback, refusalOf, countRefusal }
}
