import { beforeAll, describe, expect, test } from 'vitest'
import { addSeconds } from '../../src/core/clock.ts'
import { parseCredential } from '../../src/crypto/credentials.ts'
import { deriveKey } from '../../src/crypto/hash.ts'
import { openBytes } from '../../src/crypto/seal.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import {
  type App,
  issueCode,
  movableClock,
  openSession,
  person,
  REDIRECT_URI,
  refusalCode,
  registerApp,
  servicesOn,
  type Tenant,
  tenant,
} from './support/installation.ts'

describe('refresh tokens', () => {
  const db = testDatabase({ poolSize: 20 })
  const clock = movableClock()
  let services: Services
  let acme: Tenant
  let globex: Tenant
  let app: App
  let other: App

  beforeAll(async () => {
    services = servicesOn(clock)
    acme = await tenant(services, db.ctx(), 'acme.test')
    globex = await tenant(services, db.ctx(), 'globex.test')
    app = await registerApp(services, db.ctx())
    other = await registerApp(services, db.ctx())
  })

  let count = 0
  const signedIn = async () => {
    count += 1
    const user = await services.users.create(acme.ctx, person(`user${count}@acme.test`), {
      directoryId: null,
    })
    const { session } = await openSession(services, acme, user.id, clock.now())
    const { code, verifier } = await issueCode(services, acme, session, app)
    const { refreshToken = '' } = await services.codes.redeem(db.ctx(), code, {
      clientId: app.id,
      redirectUri: REDIRECT_URI,
      codeVerifier: verifier,
    })
    return { user, session, token: refreshToken }
  }

  const rotate = async (token: string, as = app): Promise<string> =>
    (await services.refreshTokens.rotate(db.ctx(), token, as.id)).refreshToken

  const refusal = (token: string, as = app): Promise<string> => refusalCode(rotate(token, as))

  const reuses = async (sessionId: string) =>
    (await inTx(acme.ctx, (tx) => services.audit.list(tx, { limit: 10_000 }))).filter(
      (event) => event.action === 'token.refresh_reused' && event.target_id === sessionId,
    )

  test('each refresh token is exchanged for the next, and the grant says what the sign-in was', async () => {
    const { token, user, session } = await signedIn()
    const first = await services.refreshTokens.rotate(db.ctx(), token, app.id)
    expect(first).toMatchObject({
      sessionId: session.id,
      user: { id: user.id, userName: user.userName, emailVerified: true, epoch: 0 },
      acr: 'urn:example:acr',
      amr: ['pwd', 'otp'],
      authTime: session.authTime,
    })
    const second = await rotate(first.refreshToken)
    expect(new Set([token, first.refreshToken, second]).size).toBe(3)
  })

  test('one token presented sixteen times at once has one successor, and nobody is logged out', async () => {
    const { token, session } = await signedIn()
    const successors = await Promise.all(Array.from({ length: 16 }, () => rotate(token)))
    const [successor = ''] = successors
    expect(new Set(successors)).toEqual(new Set([successor]))
    expect(await rotate(successor)).not.toBe(successor)
    expect(await reuses(session.id)).toHaveLength(0)
  })

  test('within ten seconds the same token gets the same successor, while that one is unused', async () => {
    const { token, session } = await signedIn()
    const successor = await rotate(token)
    clock.advance(9.9)
    expect(await rotate(token)).toBe(successor)
    expect(await rotate(successor)).not.toBe(successor)
    expect(await reuses(session.id)).toHaveLength(0)
  })

  test('a token that comes back after ten seconds ends the family, with an audit row', async () => {
    const { token, session, user } = await signedIn()
    const successor = await rotate(token)
    clock.advance(10)
    expect(await refusal(token)).toBe('invalid_grant')
    expect(await refusal(successor)).toBe('invalid_grant')
    const rows = await reuses(session.id)
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      outcome: 'refused',
      reason: 'refresh_token_reused',
      actor_type: 'client',
      actor_id: app.id,
      facts: { user: user.id },
    })
  })

  test('a token that comes back after its successor was used ends the family, at once', async () => {
    const { token, session } = await signedIn()
    const newest = await rotate(await rotate(token))
    expect(await refusal(token)).toBe('invalid_grant')
    expect(await refusal(newest)).toBe('invalid_grant')
    for (let turn = 0; turn < 5; turn += 1) await refusal(token)
    expect(await reuses(session.id)).toHaveLength(1)
  })

  test('sixteen thieves at once with a spent token get nothing, and leave one audit row', async () => {
    const { token, session } = await signedIn()
    const newest = await rotate(await rotate(token))
    const answers = await Promise.all(Array.from({ length: 16 }, () => refusal(token)))
    expect(new Set(answers)).toEqual(new Set(['invalid_grant']))
    expect(await refusal(newest)).toBe('invalid_grant')
    expect(await reuses(session.id)).toHaveLength(1)
  })

  test('a theft in one family leaves another family of the same session alone', async () => {
    const { token, session } = await signedIn()
    const second = await issueCode(services, acme, session, app)
    const { refreshToken = '' } = await services.codes.redeem(db.ctx(), second.code, {
      clientId: app.id,
      redirectUri: REDIRECT_URI,
      codeVerifier: second.verifier,
    })
    await rotate(await rotate(token))
    expect(await refusal(token)).toBe('invalid_grant')
    expect(await rotate(refreshToken)).not.toBe(refreshToken)
  })

  const moved = (token: string, org: Tenant): string =>
    token.replace(/^(ptc_refresh_)[0-9a-f]{32}/, `$1${org.ctx.orgId.replaceAll('-', '')}`)

  const other43 = 'A'.repeat(43)

  const wrong: [string, (token: string) => Promise<string>][] = [
    ['by another client', (token) => refusal(token, other)],
    ['moved to another organisation', (token) => refusal(moved(token, globex))],
    ['with another secret in it', (token) => refusal(`${token.slice(0, -43)}${other43}`)],
    ['dressed as a code', (token) => refusal(token.replace('_refresh_', '_code_'))],
    ['cut short', (token) => refusal(token.slice(0, -1))],
    ['with something after it', (token) => refusal(`${token} `)],
  ]

  test.each(wrong)('a token presented %s is refused, and the family lives', async (_, attempt) => {
    const { token, session } = await signedIn()
    expect(await attempt(token)).toBe('invalid_grant')
    expect(await rotate(token)).not.toBe(token)
    expect(await reuses(session.id)).toHaveLength(0)
  })

  test('another client with a spent token cannot end the family either', async () => {
    const { token } = await signedIn()
    const newest = await rotate(await rotate(token))
    expect(await refusal(token, other)).toBe('invalid_grant')
    expect(await rotate(newest)).not.toBe(newest)
  })

  test('a family does not outlive its session, however often it is rotated', async () => {
    const { token, session } = await signedIn()
    clock.moveTo(addSeconds(session.expiresAt, -1))
    const last = await rotate(token)
    clock.advance(0.5)
    expect(await rotate(token)).toBe(last)
    clock.moveTo(session.expiresAt)
    expect(await refusal(last)).toBe('invalid_grant')
    expect(await reuses(session.id)).toHaveLength(0)
  })

  test('a family ends with its session, and the session of somebody else stays', async () => {
    const [leaving, staying] = [await signedIn(), await signedIn()]
    await inTx(acme.ctx, (tx) => services.endSessions.one(tx, leaving.session.id, 'signed_out'))
    expect(await refusal(leaving.token)).toBe('invalid_grant')
    expect(await rotate(staying.token)).not.toBe(staying.token)
  })

  test('a family whose session alone was ended is over too', async () => {
    const { token, session } = await signedIn()
    await inTx(acme.ctx, (tx) => services.sessions.endOne(tx, session.id, 'signed_out', clock.now()))
    expect(await refusal(token)).toBe('invalid_grant')
  })

  test('the stored successor can be read with its parent, and with nothing else that is stored', async () => {
    const { token } = await signedIn()
    const successor = await rotate(token)
    const parent = parseCredential('refresh', token)
    const child = parseCredential('refresh', successor)
    if (!parent || !child) throw new Error('the broker made tokens that it cannot read')
    const row = await inTx(acme.ctx, (tx) => tx.db('refresh_tokens').where({ id: parent.id }).first())
    const sealed = row.successor_sealed as Buffer
    const keyFrom = (secret: Buffer) => deriveKey(secret, 'portico/refresh-successor')
    expect(openBytes(keyFrom(parent.secret), parent.id, sealed).toString()).toBe(successor)
    for (const known of [row.hash as Buffer, child.hash, child.secret, Buffer.alloc(32)]) {
      expect(() => openBytes(keyFrom(known), parent.id, sealed)).toThrow('could not be opened')
    }
    // Moved to another token's row it does not open either.
    expect(() => openBytes(keyFrom(parent.secret), child.id, sealed)).toThrow('could not be opened')
    for (const column of Object.values(row).filter(Buffer.isBuffer)) {
      expect(column.includes(child.secret)).toBe(false)
      expect(column.includes(parent.secret)).toBe(false)
    }
  })
})
