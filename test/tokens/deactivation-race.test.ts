import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { OrgTx } from '../../src/core/ctx.ts'
import { AppError } from '../../src/core/errors.ts'
import { toId } from '../../src/core/ids.ts'
import { randomToken } from '../../src/crypto/hash.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { User } from '../../src/directory/user.ts'
import type { Services } from '../../src/services.ts'
import type { Session } from '../../src/sessions/session.ts'
import { testDatabase } from '../support/database.ts'
import { type MisbehavingOp, startMisbehavingOp } from '../support/misbehaving-op.ts'
import {
  type App,
  issueCode,
  OFFLINE,
  openSession,
  person,
  pkce,
  REDIRECT_URI,
  registerApp,
  servicesOn,
  type Tenant,
} from './support/installation.ts'

/** What one attempt came to: refused, or the epoch of a token it was given (null: it was given none). */
type Outcome = { refused: string } | { epoch: number | null }

const KINDS = ['login', 'redemption', 'refresh', 'single sign-on'] as const

type Kind = (typeof KINDS)[number]

describe('a deactivation racing everything that mints', () => {
  const db = testDatabase({ poolSize: 16 })
  let services: Services
  let op: MisbehavingOp
  let acme: Tenant & { directoryId: string }
  let app: App

  beforeAll(async () => {
    op = await startMisbehavingOp()
    services = servicesOn(systemClock)
    await services.keys.ensure(db.ctx())
    const { id } = await services.organisations.create(db.ctx(), { name: 'Example' })
    const ctx = { ...db.ctx(), orgId: id }
    await services.organisations.addDomain(ctx, { name: 'example.test', verified: true })
    const { id: connectionId } = await services.connections.create(ctx, {
      type: 'oidc',
      name: 'Example',
      config: { issuer: op.issuer, clientId: op.client.id },
      secrets: { clientSecret: op.client.secret },
    })
    await services.connections.enable(ctx, connectionId)
    const directory = await services.directories.create(ctx, { profile: 'generic', connectionId })
    acme = { ctx, connectionId, directoryId: directory.id }
    app = await registerApp(services, db.ctx())
  })

  afterAll(() => op.close())

  const provision = (): Promise<User> =>
    services.users.create(acme.ctx, person('ada@example.test', { externalId: op.subject }), acme)

  const tokens = (form: Record<string, string>) =>
    services.tokenEndpoint.handle(db.ctx(), '', {
      client_id: app.clientId,
      client_secret: app.clientSecret,
      ...form,
    })

  const refreshed = (token: string) => tokens({ grant_type: 'refresh_token', refresh_token: token })

  const redeemed = ({ code, verifier }: { code: string; verifier: string }) =>
    tokens({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })

  /** A browser that is back from the IdP: all that is left is the callback. */
  const backFromIdp = async () => {
    const browser = randomToken()
    const { verifier, challenge } = pkce()
    const handle = await services.journey.begin(db.ctx(), browser, {
      clientId: app.id,
      redirectUri: REDIRECT_URI,
      scope: OFFLINE,
      state: null,
      nonce: null,
      codeChallenge: challenge,
      prompt: null,
    })
    const identified = await services.journey.identify(db.ctx(), browser, handle, {
      email: 'ada@example.test',
    })
    if (!('to' in identified && 'redirect' in identified.to)) throw new Error('an OIDC connection redirects')
    const answer = await fetch(identified.to.redirect, { redirect: 'manual' })
    const query = Object.fromEntries(new URL(answer.headers.get('location') ?? '').searchParams)
    return async (): Promise<Outcome> => {
      const outcome = await services.journey.callback(db.ctx(), {
        type: 'oidc',
        connection: toId('con', acme.connectionId),
        browser,
        input: { method: 'GET', query, form: {} },
      })
      if ('refused' in outcome) {
        const reason = await services.journey.reasonOf(db.ctx(), outcome.refused.reference)
        return { refused: reason ?? 'unknown' }
      }
      const code = new URL(outcome.signedIn.redirectTo).searchParams.get('code') ?? ''
      won.push(() => redeemed({ code, verifier }))
      return { epoch: null }
    }
  }

  /** What the winners of a round were given; after the deactivation none of it may work. */
  let won: (() => Promise<unknown>)[] = []

  const minted = async (answer: ReturnType<typeof tokens>): Promise<Outcome> => {
    const { access_token, refresh_token = '' } = await answer
    won.push(() => refreshed(refresh_token))
    return { epoch: decodeJwt(access_token).epoch as number }
  }

  const singleSignOn = (session: Session) => async (): Promise<Outcome> => {
    const { verifier, challenge } = pkce()
    // As /oauth2/authorize does it for a browser that has a session.
    const code = await inTx(acme.ctx, async (tx) => {
      const held = await services.sessions.holdLive(tx, session.id)
      return (
        held &&
        services.codes.issue(tx, held, {
          clientId: app.id,
          redirectUri: REDIRECT_URI,
          codeChallenge: challenge,
          scope: OFFLINE,
          nonce: null,
        })
      )
    })
    if (code === undefined) return { refused: 'no session' }
    won.push(() => redeemed({ code, verifier }))
    return { epoch: null }
  }

  const attemptsOf = async (user: User): Promise<Record<Kind, () => Promise<Outcome>>> => {
    const login = await backFromIdp()
    const { session } = await openSession(services, acme, user.id, new Date())
    const [first, second] = await Promise.all([1, 2].map(() => issueCode(services, acme, session, app)))
    if (!first || !second) throw new Error('two codes were issued')
    const { refresh_token: token = '' } = await redeemed(first)
    return {
      login,
      redemption: () => minted(redeemed(second)),
      refresh: () => minted(refreshed(token)),
      'single sign-on': singleSignOn(session),
    }
  }

  const settle = async (attempt: () => Promise<Outcome>): Promise<Outcome> => {
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof AppError) return { refused: error.code }
      throw error
    }
  }

  const alive = async (userId: string) => {
    const { rows } = await inTx(acme.ctx, (tx: OrgTx) =>
      tx.db.raw(
        `select
          (select count(*) from sessions where user_id = ? and ended_at is null) as sessions,
          (select count(*) from refresh_families where user_id = ? and ended_at is null) as families,
          (select count(*) from authorization_codes where user_id = ? and consumed_at is null) as codes`,
        [userId, userId, userId],
      ),
    )
    return rows[0]
  }

  const NOTHING = { sessions: 0, families: 0, codes: 0 }

  const REFUSALS = ['user_inactive', 'user_deleted', 'user_unknown', 'invalid_grant', 'no session']

  type Tally = Record<Kind, { won: number; lost: number }>

  const judge = (kind: Kind, outcome: Outcome, epochBefore: number): 'won' | 'lost' => {
    if ('refused' in outcome) {
      expect(REFUSALS).toContain(outcome.refused)
      return 'lost'
    }
    // A token that crossed the deactivation carries the epoch from before it, so verifiers can tell.
    if (outcome.epoch !== null) expect(outcome.epoch, kind).toBe(epochBefore)
    return 'won'
  }

  const refuseAll = async (attempts: Record<Kind, () => Promise<Outcome>>): Promise<void> => {
    for (const kind of KINDS) {
      const outcome = await settle(attempts[kind])
      expect(REFUSALS).toContain('refused' in outcome ? outcome.refused : `${kind} after the end`)
    }
  }

  const race = async (
    user: User,
    end: () => Promise<unknown>,
    { tally, late }: { tally: Tally; late: boolean },
  ): Promise<void> => {
    const racing = await attemptsOf(user)
    const latecomers = late ? await attemptsOf(user) : undefined
    won = []
    // A login asks its IdP before it comes to the database, so it gets no jitter and the end gets more.
    const jitter = (most: number) => sleep(Math.random() * most)
    const [, ...outcomes] = await Promise.all([
      jitter(24).then(end),
      ...KINDS.map((kind) => jitter(kind === 'login' ? 0 : 16).then(() => settle(racing[kind]))),
    ])
    expect(await alive(user.id)).toEqual(NOTHING)
    KINDS.forEach((kind, index) => {
      tally[kind][judge(kind, outcomes[index] as Outcome, user.epoch)] += 1
    })
    for (const use of won) await expect(use()).rejects.toMatchObject({ code: 'invalid_grant' })
    if (!latecomers) return
    await refuseAll(latecomers)
    expect(await alive(user.id)).toEqual(NOTHING)
  }

  const emptyTally = (): Tally =>
    Object.fromEntries(KINDS.map((kind) => [kind, { won: 0, lost: 0 }])) as Tally

  const demandBothOrders = (tally: Tally): void => {
    for (const kind of KINDS) {
      expect(tally[kind].won, `${kind} came first now and then`).toBeGreaterThan(0)
      expect(tally[kind].lost, `${kind} came second now and then`).toBeGreaterThan(0)
    }
  }

  test('in a hundred and twenty races with setActive(false) nothing survives, in either order', async () => {
    const { id } = await provision()
    const tally = emptyTally()
    for (let round = 0; round < 120; round += 1) {
      const user = await services.users.setActive(acme.ctx, id, true)
      expect(user.epoch).toBe(round)
      expect(await alive(id)).toEqual(NOTHING)
      await race(user, () => services.users.setActive(acme.ctx, id, false), {
        tally,
        late: round % 10 === 0,
      })
    }
    demandBothOrders(tally)
    await services.users.remove(acme.ctx, id, undefined)
  }, 60_000)

  test('in eighty races with remove nothing survives, in either order', async () => {
    const tally = emptyTally()
    for (let round = 0; round < 80; round += 1) {
      const user = await provision()
      await race(user, () => services.users.remove(acme.ctx, user.id, undefined), {
        tally,
        late: round % 10 === 0,
      })
    }
    demandBothOrders(tally)
  }, 60_000)

  /** Runs `work` with the transaction of `first` open, and lets that one commit once `work` is under way. */
  const overlapping = async <A, B>(first: (tx: OrgTx) => Promise<A>, work: () => Promise<B>) => {
    let started: Promise<B> | undefined
    const value = await inTx(acme.ctx, async (tx) => {
      const made = await first(tx)
      started = work()
      started.catch(() => undefined)
      await sleep(50)
      return made
    })
    return { value, answer: started as Promise<B> }
  }

  test('a deactivation that came first, but has not committed, is waited for and wins', async () => {
    const user = await provision()
    for (const kind of KINDS) {
      await services.users.setActive(acme.ctx, user.id, true)
      const attempts = await attemptsOf(user)
      const { answer } = await overlapping(
        (tx) => services.users.setActive(tx, user.id, false),
        () => settle(attempts[kind]),
      )
      const outcome = await answer
      expect(REFUSALS).toContain('refused' in outcome ? outcome.refused : `${kind} won`)
      expect(await alive(user.id)).toEqual(NOTHING)
    }
    await services.users.remove(acme.ctx, user.id, undefined)
  })

  test('a login that came first, but has not committed, is waited for and ended', async () => {
    const user = await provision()
    const identity = {
      subject: op.subject,
      linkValues: { externalId: op.subject, userName: undefined },
      email: 'ada@example.test',
      emailVerified: undefined,
      displayName: undefined,
      givenName: undefined,
      familyName: undefined,
    }
    const { connection } = await services.connections.open(acme.ctx, acme.connectionId)
    const { value, answer } = await overlapping(
      async (tx) => {
        const linked = await services.linking.resolve(tx, connection.id, connection.rules, identity)
        return services.sessions.create(tx, {
          userId: linked.id,
          connectionId: connection.id,
          acr: undefined,
          amr: [],
          authTime: new Date(),
          idpSession: undefined,
        })
      },
      () => services.users.setActive(acme.ctx, user.id, false),
    )
    await answer
    expect(await services.sessions.resume(db.ctx(), value.cookie)).toBeNull()
    expect(await alive(user.id)).toEqual(NOTHING)
  })
})
