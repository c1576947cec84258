import { beforeAll, describe, expect, test } from 'vitest'
import { inTx } from '../../src/db/transaction.ts'
import type { User, UserFields } from '../../src/directory/user.ts'
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
} from '../tokens/support/installation.ts'

describe('users', () => {
  const db = testDatabase()
  const clock = movableClock()
  let services: Services
  let acme: Tenant
  let globex: Tenant
  let first: string
  let second: string
  let app: App

  beforeAll(async () => {
    services = servicesOn(clock)
    acme = await tenant(services, db.ctx(), 'acme.test')
    globex = await tenant(services, db.ctx(), 'globex.test')
    app = await registerApp(services, db.ctx())
    const directory = async () =>
      (await services.directories.create(acme.ctx, { profile: 'generic', connectionId: null })).id
    first = await directory()
    second = await directory()
  })

  let count = 0
  const name = (): string => {
    count += 1
    return `user${count}@acme.test`
  }

  const create = (
    fields: Partial<UserFields> = {},
    directoryId: string | null = first,
    at = acme,
  ): Promise<User> => services.users.create(at.ctx, person(name(), fields), { directoryId })

  const update = (id: string, change: Partial<UserFields>): Promise<User> =>
    inTx(acme.ctx, async (tx) => {
      const before = await services.users.lock(tx, id, undefined)
      return services.users.update(tx, before, { ...before, ...change })
    })

  const eventsOf = async (id: string) =>
    (await inTx(acme.ctx, (tx) => services.audit.list(tx, { limit: 10_000 }))).filter(
      (event) => event.target_id === id,
    )

  const actionsOf = async (id: string) => (await eventsOf(id)).map(({ action }) => action)

  test('a user name is taken once in its organisation, in any case and from any directory', async () => {
    const { userName } = await create()
    for (const directoryId of [first, second, null]) {
      expect(await refusalCode(create({ userName: userName.toUpperCase() }, directoryId))).toBe(
        'user_name_taken',
      )
    }
    expect((await create({ userName }, null, globex)).userName).toBe(userName)
  })

  test('an externalId is taken once in its directory, and is free in another', async () => {
    await create({ externalId: 'e1' })
    expect(await refusalCode(create({ externalId: 'e1' }))).toBe('external_id_taken')
    expect((await create({ externalId: 'E1' })).externalId).toBe('E1')
    expect((await create({ externalId: 'e1' }, second)).externalId).toBe('e1')
  })

  test('a conflict leaves nothing behind, and the nearest honest change goes through', async () => {
    const [taken, user] = [await create(), await create()]
    expect(await refusalCode(update(user.id, { userName: taken.userName, displayName: 'Changed' }))).toBe(
      'user_name_taken',
    )
    expect(await services.users.get(acme.ctx, user.id, undefined)).toEqual(user)
    expect(await actionsOf(user.id)).toEqual(['user.created'])
    expect((await update(user.id, { userName: user.userName.toUpperCase() })).version).toBe(2)
  })

  test.each([
    ['without characters', ''],
    ['of 513 characters', 'a'.repeat(513)],
  ])('a user name %s is refused', async (_, userName) => {
    expect(await refusalCode(create({ userName }))).toBe('user_name')
    const user = await create({ userName: `${count}`.padEnd(512, 'a') })
    expect(await refusalCode(update(user.id, { userName }))).toBe('user_name')
  })

  test('of eight creations of one user at once, one is made', async () => {
    const userName = name()
    const answers = await Promise.all(Array.from({ length: 8 }, () => refusalCode(create({ userName }))))
    expect(answers.sort()).toEqual(['not refused', ...Array.from({ length: 7 }, () => 'user_name_taken')])
  })

  test('a user is seen in its directory and its organisation, and nowhere else', async () => {
    const { id } = await create()
    const get = (at: Tenant, directoryId?: string) =>
      refusalCode(services.users.get(at.ctx, id, directoryId === undefined ? undefined : { directoryId }))
    expect(await get(acme)).toBe('not refused')
    expect(await get(acme, first)).toBe('not refused')
    expect(await get(acme, second)).toBe('user_not_found')
    expect(await get(globex)).toBe('user_not_found')
    expect(await refusalCode(services.users.setActive(globex.ctx, id, false))).toBe('user_not_found')
    expect(await refusalCode(services.users.remove(acme.ctx, id, { directoryId: second }))).toBe(
      'user_not_found',
    )
    expect((await services.users.get(acme.ctx, id, undefined)).active).toBe(true)
  })

  test('an update names what it changed, in the transaction that changed it', async () => {
    const { id } = await create()
    await update(id, { displayName: 'Another Name', email: 'another@acme.test' })
    const [, updated] = await eventsOf(id)
    expect(updated).toMatchObject({
      action: 'user.updated',
      outcome: 'success',
      actor_type: 'system',
      request_id: 'test',
    })
    expect(updated?.facts).toEqual({ changed: expect.arrayContaining(['displayName', 'email']) })
    expect(JSON.stringify(updated?.facts)).not.toContain('Another Name')

    const undone = inTx(acme.ctx, async (tx) => {
      const before = await services.users.lock(tx, id, undefined)
      await services.users.update(tx, before, { ...before, displayName: 'Undone', active: false })
      throw new Error('undo')
    })
    await expect(undone).rejects.toThrow('undo')
    expect(await actionsOf(id)).toEqual(['user.created', 'user.updated'])
    expect(await services.users.get(acme.ctx, id, undefined)).toMatchObject({ active: true, version: 2 })
  })

  test('an update that changes nothing writes nothing', async () => {
    const user = await create({ resource: { title: 'Countess' } })
    expect(await update(user.id, { resource: { title: 'Countess' } })).toMatchObject({ version: 1 })
    expect(await actionsOf(user.id)).toEqual(['user.created'])
  })

  const signedIn = async () => {
    const user = await create()
    const { session, cookie } = await openSession(services, acme, user.id, clock.now())
    const { code, verifier } = await issueCode(services, acme, session, app)
    const redeem = { clientId: app.id, redirectUri: REDIRECT_URI, codeVerifier: verifier }
    const { refreshToken = '' } = await services.codes.redeem(db.ctx(), code, redeem)
    const unredeemed = await issueCode(services, acme, session, app)
    const attempts = {
      session: async () => ((await services.sessions.resume(db.ctx(), cookie)) ? 'not refused' : 'ended'),
      refresh: () => refusalCode(services.refreshTokens.rotate(db.ctx(), refreshToken, app.id)),
      code: () =>
        refusalCode(
          services.codes.redeem(db.ctx(), unredeemed.code, { ...redeem, codeVerifier: unredeemed.verifier }),
        ),
    }
    return { user, attempts }
  }

  const ALL_DEAD = { session: 'ended', refresh: 'invalid_grant', code: 'invalid_grant' }

  const tryAll = async (attempts: Awaited<ReturnType<typeof signedIn>>['attempts']) => ({
    session: await attempts.session(),
    refresh: await attempts.refresh(),
    code: await attempts.code(),
  })

  test('everything of a user works, until they go', async () => {
    const { attempts } = await signedIn()
    expect(await tryAll(attempts)).toEqual({
      session: 'not refused',
      refresh: 'not refused',
      code: 'not refused',
    })
  })

  const departures: [string, (id: string) => Promise<unknown>, string][] = [
    ['deactivated', (id) => services.users.setActive(acme.ctx, id, false), 'user.deactivated'],
    [
      'deactivated among other changes',
      (id) => update(id, { active: false, displayName: 'Gone' }),
      'user.deactivated',
    ],
    ['deleted', (id) => services.users.remove(acme.ctx, id, undefined), 'user.deleted'],
  ]

  test.each(departures)(
    'a user who is %s loses session, refresh family and code, with an audit row',
    async (_, leave, action) => {
      const { user, attempts } = await signedIn()
      await leave(user.id)
      expect(await tryAll(attempts)).toEqual(ALL_DEAD)
      const row = (await eventsOf(user.id)).find((event) => event.action === action)
      expect(row).toMatchObject({ outcome: 'success', facts: { sessionsEnded: 1 } })
      const { epoch } = await inTx(acme.ctx, (tx) => tx.db('users').where({ id: user.id }).first('epoch'))
      expect(epoch).toBe(1)
    },
  )

  test('a reactivation revives nothing, and says so in one audit row', async () => {
    const { user, attempts } = await signedIn()
    await services.users.setActive(acme.ctx, user.id, false)
    await services.users.setActive(acme.ctx, user.id, true)
    expect(await tryAll(attempts)).toEqual(ALL_DEAD)
    expect(await actionsOf(user.id)).toEqual(['user.created', 'user.deactivated', 'user.reactivated'])
    const { session } = await openSession(services, acme, user.id, clock.now())
    expect((await issueCode(services, acme, session, app)).code).toMatch(/^ptc_code_/)
  })

  test('deactivating twice is deactivating once', async () => {
    const { user } = await signedIn()
    await Promise.all(Array.from({ length: 8 }, () => services.users.setActive(acme.ctx, user.id, false)))
    expect(await actionsOf(user.id)).toEqual(['user.created', 'user.deactivated'])
    expect((await services.users.get(acme.ctx, user.id, undefined)).epoch).toBe(1)
  })

  test('a deleted user is gone for everybody, and what described them is forgotten', async () => {
    const user = await create({ externalId: 'gone', resource: { title: 'Countess' } })
    await services.users.remove(acme.ctx, user.id, { directoryId: first })
    expect(await refusalCode(services.users.get(acme.ctx, user.id, undefined))).toBe('user_not_found')
    expect(await refusalCode(services.users.setActive(acme.ctx, user.id, true))).toBe('user_not_found')
    expect(await refusalCode(services.users.remove(acme.ctx, user.id, undefined))).toBe('user_not_found')
    const row = await inTx(acme.ctx, (tx) => tx.db('users').where({ id: user.id }).first())
    expect(row).toMatchObject({
      display_name: null,
      given_name: null,
      family_name: null,
      resource: {},
      active: false,
    })
  })

  test('after a deletion the name and the externalId are free, and the tombstones of the person are lifted', async () => {
    const user = await create({ externalId: 'again' })
    await services.users.remove(acme.ctx, user.id, undefined)
    const again = await create({ userName: user.userName, externalId: 'again' })
    expect(again.id).not.toBe(user.id)
    expect(await inTx(acme.ctx, (tx) => tx.db('users').where({ id: user.id }))).toEqual([])
  })

  test('a sign-in that makes a user lifts no tombstone', async () => {
    const user = await create()
    await services.users.remove(acme.ctx, user.id, undefined)
    await create({ email: user.email }, null)
    expect(await inTx(acme.ctx, (tx) => tx.db('users').where({ id: user.id }))).toHaveLength(1)
  })
})
