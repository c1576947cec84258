/**
 * The sign-in journey: identify > IdP > link > session. Owns `login_requests`, `login_flows`, `replay_keys`.
 * Invariants: a flow is bound to the browser it began in and is spent once; the identity is verified before anything is
 * written; flow, replay key, user, session, code and audit event stand or fall in one transaction; every refusal leaves
 * exactly one audit row and a reference to it.
 */
import type { Audit } from '../audit/audit.ts'
import type { Connection } from '../connections/connection.ts'
import type { Connections } from '../connections/connections.ts'
import {
  type Begun,
  type Callback,
  type Expects,
  refusal,
  type VerifiedIdentity,
} from '../connections/contract.ts'
import { addSeconds, type Clock } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { parseId } from '../core/ids.ts'
import type { Envelope, Place } from '../crypto/envelope.ts'
import { randomToken, sha256 } from '../crypto/hash.ts'
import { forOrg, inTx, lookUpOrg } from '../db/transaction.ts'
import type { Linking } from '../directory/linking.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Codes } from '../tokens/codes.ts'
import * as flows from './flows.repo.ts'
import type { Hint, HomeRealm, HomeRealms } from './home-realm.ts'
import type { RefusalTrail, RefusedAt } from './refusal-trail.ts'
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

export type Waiting = requests.WaitingRequest & { forceAuthentication: boolean }

export type CallbackRequest = {
  type: string
  connection: string
  browser: string | undefined
  input: Callback
}

/** `reference` leads to the page that says why; with the handle it can offer to start again. */
export type Refused = { refused: { reference: string; requestHandle: string | undefined } }

export type IdentifyOutcome = { to: Begun['to'] } | Refused

export type CallbackOutcome = { signedIn: { redirectTo: string; sessionCookie: string } } | Refused

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
  homeRealm: HomeRealms
  connections: Connections
  linking: Linking
  sessions: Sessions
  codes: Codes
  envelope: Envelope
  audit: Audit
  refusals: RefusalTrail
  clock: Clock
  issuer: string
}

export const createJourney = (deps: Deps) => {
  const { homeRealm, connections, linking, sessions, codes, envelope, audit, refusals, clock, issuer } = deps

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
    const found = await requests.findWaiting(ctx, sha256(handle), sha256(browser), clock.now())
    return found && { ...found, forceAuthentication: found.prompt === 'login' }
  }

  const openFlow = (realm: HomeRealm, browser: string, handle: string, begun: Begun): Promise<void> =>
    inTx(realm.ctx, async (tx) => {
      const handleHash = sha256(begun.flowId)
      const now = clock.now()
      await flows.insert(tx, {
        handle_hash: handleHash,
        connection_id: realm.connectionId,
        browser_hash: sha256(browser),
        request_hash: sha256(handle),
        expects_sealed: await envelope.seal(
          tx,
          placeOf(handleHash),
          JSON.stringify({ expects: begun.expects, handle }),
        ),
        created_at: now,
        expires_at: addSeconds(now, FLOW_LIFETIME_SECONDS),
      })
    })

  /**
   * Sends the browser to the IdP of an address or an organisation; refused where the page was open for too long or the
   * IdP cannot be asked.
   * @throws AppError `not_found`/`no_route` where the hint leads nowhere
   */
  const identify = async (
    ctx: Ctx,
    browser: string | undefined,
    handle: string,
    hint: Hint,
  ): Promise<IdentifyOutcome> => {
    const pending = await waiting(ctx, browser, handle)
    if (!pending || browser === undefined) return expired(ctx)
    const who = 'email' in hint ? { email: hint.email.trim() } : hint
    const realm = await homeRealm.discover(ctx, who, pending.clientOrgId)
    try {
      const begun = await realm.opened.begin({
        loginHint: 'email' in who ? who.email : undefined,
        forceAuthentication: pending.forceAuthentication,
      })
      await openFlow(realm, browser, handle, begun)
      return { to: begun.to }
    } catch (error) {
      const { reference } = (await refused(realm, error)).refused
      return { refused: { reference, requestHandle: handle } }
    }
  }

  const loadFlow = async (
    tx: OrgTx,
    connectionId: string,
    flowId: string,
    browser: string | undefined,
  ): Promise<Flow> => {
    if (browser === undefined) throw refusal('flow_unknown')
    const handleHash = sha256(flowId)
    const row = await flows.find(tx, { handleHash, connectionId, browserHash: sha256(browser) })
    if (!row) throw refusal('flow_unknown')
    if (row.consumed_at !== null) throw refusal('replayed')
    if (row.expires_at <= clock.now()) throw refusal('request_expired')
    const sealed = await envelope.open(tx, placeOf(handleHash), row.expects_sealed)
    const { expects, handle } = JSON.parse(sealed.toString()) as { expects: Expects; handle: string }
    return { row, expects, requestHandle: handle }
  }

  /** Connection and flow, read in one transaction; nothing of it is open while the IdP's answer is verified. */
  const findFlow = (ctx: OrgCtx, connectionId: string, request: CallbackRequest) =>
    inTx(ctx, async (tx) => {
      const { connection, opened } = await connections.open(tx, connectionId)
      if (connection.type !== request.type) throw refusal('flow_unknown')
      if (connection.status !== 'enabled') throw refusal('connection_disabled')
      const flowId = opened.flowId(request.input)
      if (flowId === null) throw refusal('unsolicited')
      return { connection, opened, flow: await loadFlow(tx, connectionId, flowId, request.browser) }
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

  /** A refused flow is spent, so that one flow leaves one row of its own. */
  const refused = async (at: RefusedAt, error: unknown, flow?: Flow): Promise<Refused> => {
    const spend = flow && ((tx: OrgTx) => flows.consume(tx, flow.row.handle_hash, clock.now()))
    return {
      refused: { reference: await refusals.record(at, error, spend), requestHandle: flow?.requestHandle },
    }
  }

  /**
   * What comes back from the IdP, in order: connection by the ID in the URL; flow of this browser; verification; one
   * transaction. Refusals come back as an outcome; anything thrown is not a refusal (the database, a defect).
   */
  const callback = async (ctx: Ctx, request: CallbackRequest): Promise<CallbackOutcome> => {
    const connectionId = parseId('con', request.connection)
    const orgId = connectionId === null ? null : await lookUpOrg(ctx, 'org_of_connection', connectionId)
    if (connectionId === null || orgId === null) {
      return refused({ ctx, connectionId: null }, refusal('flow_unknown'))
    }
    const orgCtx = forOrg(ctx, orgId)
    let flow: Flow | undefined
    try {
      const { connection, opened, ...found } = await findFlow(orgCtx, connectionId, request)
      flow = found.flow
      const identity = await opened.finish({ ...request.input, now: clock.now(), expects: flow.expects })
      return { signedIn: await admit(orgCtx, connection, flow, identity) }
    } catch (error) {
      return refused({ ctx: orgCtx, connectionId }, error, flow)
    }
  }

  /** Refuses a page whose sign-in is over, or is another browser's. */
  const expired = (ctx: Ctx): Promise<Refused> =>
    refused({ ctx, connectionId: null }, refusal('request_expired'))

  return { begin, waiting, identify, callback, expired, reasonOf: refusals.reasonOf }
}
