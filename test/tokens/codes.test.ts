import { beforeAll, describe, expect, test } from 'vitest'
import { toId } from '../../src/core/ids.ts'
import { forOrg, inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import {
  type App,
  issueCode,
  movableClock,
  OFFLINE,
  openSession,
  person,
  pkce,
  REDIRECT_URI,
  refusalCode,
  registerApp,
  servicesOn,
  type Tenant,
  tenant,
} from './support/installation.ts'

describe('authorization codes', () => {
  const db = testDatabase({ poolSize: 20 })
  const clock = movableClock()
  let services: Services
  let acme: Tenant
  let globex: Tenant
  let app: App
  let other: App

  beforeAll(async () => {
    services = servicesOn(clock)
    await services.keys.ensure(db.ctx())
    acme = await tenant(services, db.ctx(), 'acme.test')
    globex = await tenant(services, db.ctx(), 'globex.test')
    app = await registerApp(services, db.ctx())
    other = await registerApp(services, db.ctx())
  })

  let count = 0
  const granted = async (options: { scope?: string; nonce?: string | null } = {}) => {
    count += 1
    const user = await services.users.create(acme.ctx, person(`user${count}@acme.test`), {
      directoryId: null,
    })
    const { session } = await openSession(services, acme, user.id, clock.now())
    return { user, session, ...(await issueCode(services, acme, session, app, options)) }
  }

  type Grant = Awaited<ReturnType<typeof granted>>

  const redeem = (code: string, verifier: string, { as = app, redirectUri = REDIRECT_URI } = {}) =>
    services.codes.redeem(db.ctx(), code, { clientId: as.id, redirectUri, codeVerifier: verifier })

  const exchange = (code: string, verifier: string, as = app) =>
    services.tokenEndpoint.handle(db.ctx(), '', {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      client_id: as.clientId,
      client_secret: as.clientSecret,
    })

  const events = async (action: string, target: string) =>
    (await inTx(acme.ctx, (tx) => services.audit.list(tx, { limit: 10_000 }))).filter(
      (event) => event.action === action && event.target_id === target,
    )

  test('a code redeemed sixteen times at once gives one token response, and its refresh token is dead', async () => {
    const { code, verifier, session } = await granted()
    const answers = await Promise.allSettled(Array.from({ length: 16 }, () => exchange(code, verifier)))
    const responses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    expect(responses).toHaveLength(1)
    for (const answer of answers) {
      if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'invalid_grant' })
    }
    const { refresh_token: refreshToken = '' } = responses[0] ?? {}
    expect(await refusalCode(services.refreshTokens.rotate(db.ctx(), refreshToken, app.id))).toBe(
      'invalid_grant',
    )
    expect(await events('token.issued', session.id)).toHaveLength(1)
    expect(await events('token.code_reused', session.id)).toHaveLength(1)
  })

  test('a code redeemed once keeps its refresh token, and a second time ends that token’s whole family', async () => {
    const { code, verifier } = await granted()
    const first = await exchange(code, verifier)
    const next = await services.refreshTokens.rotate(db.ctx(), first.refresh_token ?? '', app.id)
    expect(await refusalCode(redeem(code, verifier))).toBe('invalid_grant')
    expect(await refusalCode(services.refreshTokens.rotate(db.ctx(), next.refreshToken, app.id))).toBe(
      'invalid_grant',
    )
  })

  test('a code that comes again after its minute is over still ends the family', async () => {
    const { code, verifier } = await granted()
    const first = await exchange(code, verifier)
    clock.advance(120)
    expect(await refusalCode(redeem(code, verifier))).toBe('invalid_grant')
    expect(
      await refusalCode(services.refreshTokens.rotate(db.ctx(), first.refresh_token ?? '', app.id)),
    ).toBe('invalid_grant')
  })

  test('a code reused without a refresh family leaves one audit row, however often it comes', async () => {
    const { code, verifier, session } = await granted({ scope: 'openid' })
    expect((await redeem(code, verifier)).refreshToken).toBeUndefined()
    for (let turn = 0; turn < 5; turn += 1) {
      expect(await refusalCode(redeem(code, verifier))).toBe('invalid_grant')
    }
    const reuses = await events('token.code_reused', session.id)
    expect(reuses).toHaveLength(1)
    expect(reuses[0]).toMatchObject({ outcome: 'refused', reason: 'code_reused', actor_type: 'client' })
  })

  test('a thief with the code but not the verifier cannot end the family', async () => {
    const { code, verifier } = await granted()
    const first = await exchange(code, verifier)
    expect(await refusalCode(redeem(code, pkce().verifier))).toBe('invalid_grant')
    expect(await refusalCode(redeem(code, verifier, { as: other }))).toBe('invalid_grant')
    const next = await services.refreshTokens.rotate(db.ctx(), first.refresh_token ?? '', app.id)
    expect(next.refreshToken).not.toBe(first.refresh_token)
  })

  const flipped = (token: string): string =>
    `${token.slice(0, -2)}${token.at(-2) === 'A' ? 'B' : 'A'}${token.at(-1)}`

  const inOrg = (code: string, org: Tenant): string =>
    code.replace(/^(ptc_code_)[0-9a-f]{32}/, `$1${org.ctx.orgId.replaceAll('-', '')}`)

  const wrong: [string, (grant: Grant) => Promise<unknown>][] = [
    ['by another client', ({ code, verifier }) => redeem(code, verifier, { as: other })],
    [
      'for another redirect URI',
      ({ code, verifier }) => redeem(code, verifier, { redirectUri: `${REDIRECT_URI}/` }),
    ],
    ['with another verifier', ({ code }) => redeem(code, pkce().verifier)],
    ['with the challenge as its verifier', ({ code, challenge }) => redeem(code, challenge)],
    ['with an empty verifier', ({ code }) => redeem(code, '')],
    ['with another secret in it', ({ code, verifier }) => redeem(flipped(code), verifier)],
    ['moved to another organisation', ({ code, verifier }) => redeem(inOrg(code, globex), verifier)],
    [
      'spelt in upper case',
      ({ code, verifier }) =>
        redeem(
          code.replace(/[0-9a-f]{64}/, (id) => id.toUpperCase()),
          verifier,
        ),
    ],
    [
      'dressed as a refresh token',
      ({ code, verifier }) => redeem(code.replace('_code_', '_refresh_'), verifier),
    ],
  ]

  test.each(wrong)('a code presented %s is refused and not spent', async (_, attempt) => {
    const grant = await granted()
    expect(await refusalCode(attempt(grant))).toBe('invalid_grant')
    expect((await redeem(grant.code, grant.verifier)).user.id).toBe(grant.user.id)
  })

  test('a code with another client’s credentials is refused before it is looked at', async () => {
    const { code, verifier } = await granted()
    expect(await refusalCode(exchange(code, verifier, { ...app, clientSecret: other.clientSecret }))).toBe(
      'invalid_client',
    )
    expect(await refusalCode(exchange(code, verifier, other))).toBe('invalid_grant')
    expect((await exchange(code, verifier)).token_type).toBe('Bearer')
  })

  test('a code lives sixty seconds', async () => {
    const [inTime, tooLate] = [await granted(), await granted()]
    clock.advance(59)
    expect((await redeem(inTime.code, inTime.verifier)).scope).toBe(OFFLINE)
    clock.advance(1)
    expect(await refusalCode(redeem(tooLate.code, tooLate.verifier))).toBe('invalid_grant')
    expect(await events('token.code_reused', tooLate.session.id)).toHaveLength(0)
  })

  test('a code dies with its session, and its late redemption is not called a reuse', async () => {
    const ended = await granted({ scope: 'openid' })
    const living = await granted({ scope: 'openid' })
    await inTx(acme.ctx, (tx) => services.endSessions.one(tx, ended.session.id, 'signed_out'))
    expect(await refusalCode(redeem(ended.code, ended.verifier))).toBe('invalid_grant')
    expect(await events('token.code_reused', ended.session.id)).toHaveLength(0)
    expect((await redeem(living.code, living.verifier)).session.id).toBe(living.session.id)
  })

  test('a code says what was asked for: scope and nonce, in its own organisation', async () => {
    const { code, verifier, user } = await granted({ scope: 'openid email', nonce: 'n-0S6' })
    const grant = await redeem(code, verifier)
    expect(grant).toMatchObject({ scope: 'openid email', nonce: 'n-0S6', refreshToken: undefined })
    expect(grant.ctx.orgId).toBe(acme.ctx.orgId)
    expect(toId('usr', grant.user.id)).toBe(toId('usr', user.id))
  })

  test('what is stored of a code does not hold it', async () => {
    const { code } = await granted()
    const stored = await inTx(forOrg(db.ctx(), acme.ctx.orgId), (tx) =>
      tx.db.raw(`select jsonb_agg(to_jsonb(c))::text as rows from authorization_codes c`),
    )
    expect(stored.rows[0].rows).not.toContain(code.slice(-43))
    expect(stored.rows[0].rows).not.toContain(Buffer.from(code.slice(-43), 'base64url').toString('hex'))
  })
})
