import { beforeAll, describe, expect, test } from 'vitest'
import { addSeconds } from '../../src/core/clock.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import {
  movableClock,
  openSession,
  person,
  servicesOn,
  type Tenant,
  tenant,
} from '../tokens/support/installation.ts'

describe('browser sessions', () => {
  const db = testDatabase()
  const clock = movableClock()
  let services: Services
  let acme: Tenant
  let globex: Tenant

  beforeAll(async () => {
    services = servicesOn(clock)
    acme = await tenant(services, db.ctx(), 'acme.test')
    globex = await tenant(services, db.ctx(), 'globex.test')
  })

  let count = 0
  const signedIn = async () => {
    count += 1
    const user = await services.users.create(acme.ctx, person(`user${count}@acme.test`), {
      directoryId: null,
    })
    return { user, ...(await openSession(services, acme, user.id, clock.now())) }
  }

  const resume = (cookie: string) => services.sessions.resume(db.ctx(), cookie)

  test('the cookie leads back to the session, in the context of its organisation and person', async () => {
    const { cookie, session, user } = await signedIn()
    const resumed = await resume(cookie)
    expect(resumed?.session).toEqual(session)
    expect(resumed?.ctx).toMatchObject({ orgId: acme.ctx.orgId, actor: { type: 'user', id: user.id } })
  })

  test('every sign-in gets an ID and a secret of its own', async () => {
    const { cookie, session, user } = await signedIn()
    const again = await openSession(services, acme, user.id, clock.now())
    expect(again.session.id).not.toBe(session.id)
    expect(again.cookie.slice(-43)).not.toBe(cookie.slice(-43))
  })

  const inOrg = (cookie: string, org: Tenant): string =>
    cookie.replace(/^(ptc_session_)[0-9a-f]{32}/, `$1${org.ctx.orgId.replaceAll('-', '')}`)

  test.each<[string, (cookie: string, neighbour: string) => string]>([
    ['with another secret', (cookie) => `${cookie.slice(0, -43)}${'A'.repeat(43)}`],
    [
      'with the secret of another session',
      (cookie, neighbour) => `${cookie.slice(0, -43)}${neighbour.slice(-43)}`,
    ],
    ['moved to another organisation', (cookie) => inOrg(cookie, globex)],
    ['of another kind', (cookie) => cookie.replace('_session_', '_refresh_')],
    ['cut short', (cookie) => cookie.slice(0, -1)],
    ['that is empty', () => ''],
    ['that is very long', (cookie) => cookie.repeat(1000)],
  ])('a cookie %s resumes nothing, and the honest one does', async (_, forge) => {
    const [own, neighbour] = [await signedIn(), await signedIn()]
    expect(await resume(forge(own.cookie, neighbour.cookie))).toBeNull()
    expect((await resume(own.cookie))?.session.id).toBe(own.session.id)
  })

  test('a session lasts twelve hours', async () => {
    const { cookie, session } = await signedIn()
    expect(session.expiresAt).toEqual(addSeconds(session.createdAt, 12 * 3600))
    clock.moveTo(addSeconds(session.expiresAt, -1))
    expect(await resume(cookie)).not.toBeNull()
    clock.moveTo(session.expiresAt)
    expect(await resume(cookie)).toBeNull()
    const held = await inTx(acme.ctx, (tx) => services.sessions.holdLive(tx, session.id))
    expect(held).toBeUndefined()
  })

  test('an ended session resumes nothing, is ended once, and others of the same person go on', async () => {
    const { cookie, session, user } = await signedIn()
    const other = await openSession(services, acme, user.id, clock.now())
    const end = () => inTx(acme.ctx, (tx) => services.endSessions.one(tx, session.id, 'signed_out'))
    expect(await end()).toBe(true)
    expect(await end()).toBe(false)
    expect(await resume(cookie)).toBeNull()
    expect((await resume(other.cookie))?.session.id).toBe(other.session.id)
  })

  test('another organisation can neither see nor end a session', async () => {
    const { cookie, session, user } = await signedIn()
    const end = await inTx(globex.ctx, (tx) => services.endSessions.one(tx, session.id, 'administrator'))
    const all = await inTx(globex.ctx, (tx) => services.endSessions.ofUser(tx, user.id, 'administrator'))
    expect([end, all]).toEqual([false, 0])
    const seen = await inTx(globex.ctx, (tx) => services.sessions.listLive(tx, user.id, clock.now()))
    expect(seen).toEqual([])
    expect(await resume(cookie)).not.toBeNull()
  })

  test('the list of somebody’s sessions holds the live ones and no hash', async () => {
    const { user, session } = await signedIn()
    const ended = await openSession(services, acme, user.id, clock.now())
    await inTx(acme.ctx, (tx) => services.endSessions.one(tx, ended.session.id, 'signed_out'))
    const list = await inTx(acme.ctx, (tx) => services.sessions.listLive(tx, user.id, clock.now()))
    expect(list).toEqual([session])
  })

  test('a sign-in is recent for as long as was asked', async () => {
    const { session } = await signedIn()
    clock.advance(60)
    expect(services.sessions.isRecent(session, 60)).toBe(true)
    expect(services.sessions.isRecent(session, 59)).toBe(false)
    expect(services.sessions.isRecent(session, 0)).toBe(false)
  })
})
