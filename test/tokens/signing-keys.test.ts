import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { newUuid } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { movableClock, refusalCode, servicesOn } from './support/installation.ts'

const AUDIENCE = 'https://api.test'

const mint = (services: Services, ctx: TestBroker['ctx']): Promise<string> =>
  services.tokenIssuer.accessToken(ctx, {
    orgId: newUuid(),
    sessionId: newUuid(),
    clientId: newUuid(),
    user: {
      id: newUuid(),
      epoch: 0,
      userName: 'ada',
      email: null,
      emailVerified: false,
      displayName: null,
      givenName: null,
      familyName: null,
    },
    roles: ['member'],
    acr: null,
    amr: [],
    authTime: new Date(),
    audience: AUDIENCE,
    scope: 'openid',
  })

describe('the life of a signing key', () => {
  const db = testDatabase()
  const clock = movableClock(new Date('2026-03-01T12:00:00Z'))
  let nodes: [Services, Services]

  beforeAll(async () => {
    nodes = [servicesOn(clock), servicesOn(clock)]
    await Promise.all(nodes.map(({ keys }) => keys.ensure(db.ctx())))
  })

  const byState = async (state: string) =>
    (await nodes[0].keys.states(db.ctx())).filter((key) => key.state === state).map(({ kid }) => kid)

  const published = async () => (await nodes[0].keys.publicKeys(db.ctx())).keys.map(({ kid }) => kid)

  test('two nodes that start at once make one active and one next key, and both are published', async () => {
    const [active, next] = [await byState('active'), await byState('next')]
    expect(active).toHaveLength(1)
    expect(next).toHaveLength(1)
    expect(new Set(await published())).toEqual(new Set([...active, ...next]))
    await nodes[1].keys.ensure(db.ctx())
    expect(await published()).toHaveLength(2)
  })

  test('what is published is a public key and says what it is for', async () => {
    for (const key of (await nodes[0].keys.publicKeys(db.ctx())).keys) {
      expect(key).toEqual({
        kty: 'EC',
        crv: 'P-256',
        alg: 'ES256',
        use: 'sig',
        kid: expect.stringMatching(/^[\w-]{43}$/),
        x: expect.any(String),
        y: expect.any(String),
      })
    }
  })

  test('a rotation before verifiers can know the next key is refused, and says from when it will do', async () => {
    clock.advance(299)
    await expect(nodes[0].keys.rotate(db.ctx())).rejects.toMatchObject({
      kind: 'conflict',
      code: 'next_key_too_young',
      message: expect.stringContaining('2026-03-01T12:05:00.000Z'),
    })
    expect(await byState('retired')).toHaveLength(0)
  })

  test('a rotation promotes the next key, keeps the old one published and makes a new next one', async () => {
    const [active, next] = [await byState('active'), await byState('next')]
    clock.advance(1)
    const rotated = await nodes[0].keys.rotate(db.ctx())
    expect(rotated).toMatchObject({ active: next[0], retired: active[0] })
    expect(new Set(await published())).toEqual(new Set([rotated.active, rotated.next, rotated.retired]))
    expect((await nodes[0].keys.current(db.ctx())).kid).toBe(rotated.active)
    const events = await db.app('platform_audit_events').where({ action: 'signing_key.rotated' })
    expect(events).toMatchObject([{ facts: { ...rotated, forced: false }, actor_type: 'system' }])
  })

  test('another node goes over to the new key within ten seconds', async () => {
    clock.advance(300)
    const before = (await nodes[1].keys.current(db.ctx())).kid
    const { active } = await nodes[0].keys.rotate(db.ctx())
    expect((await nodes[1].keys.current(db.ctx())).kid).toBe(before)
    clock.advance(10)
    expect((await nodes[1].keys.current(db.ctx())).kid).toBe(active)
  })

  test('of two rotations at once one is refused, unless both are forced', async () => {
    clock.advance(300)
    const once = await Promise.all(nodes.map(({ keys }) => refusalCode(keys.rotate(db.ctx()))))
    expect(once.sort()).toEqual(['next_key_too_young', 'not refused'])
    const [first, second] = await Promise.all(nodes.map(({ keys }) => keys.rotate(db.ctx(), { force: true })))
    expect(new Set([first?.active, second?.active]).size).toBe(2)
    expect(await byState('active')).toHaveLength(1)
    expect(await byState('next')).toHaveLength(1)
  })

  test('a retired key stays published for an hour and then leaves', async () => {
    clock.advance(300)
    const { retired } = await nodes[0].keys.rotate(db.ctx())
    clock.advance(3599)
    expect(await published()).toContain(retired)
    clock.advance(1)
    expect(await published()).not.toContain(retired)
    await nodes[0].keys.rotate(db.ctx())
    clock.advance(300)
    await nodes[0].keys.rotate(db.ctx())
    expect(await db.app('signing_keys').where({ kid: retired })).toHaveLength(0)
  })

  test('no private key is stored in the clear', async () => {
    for (const row of await db.app('signing_keys')) {
      expect(row.public_jwk).not.toHaveProperty('d')
      expect(row.private_sealed.toString('latin1')).not.toContain('PRIVATE KEY')
    }
    // Sealed to its row: another row's does not open there.
    const [first, second] = await db.app('signing_keys').orderBy('id').limit(2)
    const place = (row: string) => ({ table: 'signing_keys', column: 'private_sealed', row })
    const { envelope } = nodes[0]
    expect(
      (await envelope.openForPlatform(db.ctx(), place(first.id), first.private_sealed)).toString(),
    ).toContain('PRIVATE KEY')
    await expect(
      envelope.openForPlatform(db.ctx(), place(second.id), first.private_sealed),
    ).rejects.toMatchObject({ code: 'unsealing_failed' })
  })
})

describe('a rotation under load', () => {
  const db = testDatabase()
  let broker: TestBroker
  let node: Services

  beforeAll(async () => {
    broker = await startBroker({ db: db.app })
    node = servicesOn(systemClock, broker.baseUrl)
  })

  afterAll(() => broker.close())

  /** A service with jose's own cache and cooldown, as it comes out of the box. */
  const service = () => {
    const keys = createRemoteJWKSet(new URL(`${broker.baseUrl}/.well-known/jwks.json`))
    return async (token: string): Promise<string> => {
      const { protectedHeader } = await jwtVerify(token, keys, {
        issuer: broker.baseUrl,
        audience: AUDIENCE,
        typ: 'at+jwt',
        algorithms: ['ES256'],
      })
      return protectedHeader.kid ?? ''
    }
  }

  const age = (seconds: number) =>
    db.owner.raw(
      `update signing_keys set published_at = now() - make_interval(secs => ?) where state = 'next'`,
      [seconds],
    )

  test('not one token is refused by a service that caches the JWKS', async () => {
    await age(301)
    const verify = service()
    await verify(await mint(broker.services, broker.ctx))
    const kids: string[] = []
    let stop = false
    const load = [broker.services, node, broker.services, node].map(async (services) => {
      while (!stop) kids.push(await verify(await mint(services, broker.ctx)))
    })
    const until = async (count: number) => {
      while (kids.length < count) await new Promise((resolve) => setImmediate(resolve))
    }
    await until(200)
    const { active, retired } = await broker.services.keys.rotate(broker.ctx)
    await until(kids.length + 400)
    stop = true
    await Promise.all(load)
    expect(new Set(kids)).toEqual(new Set([active, retired]))
    // A service that starts only now trusts what either node signs.
    const late = service()
    expect(await late(await mint(broker.services, broker.ctx))).toBe(active)
    expect(await late(await mint(node, broker.ctx))).toBe(retired)
  })

  test('a forced rotation is what the wait is for: a service may not know the key yet', async () => {
    const verify = service()
    const before = await mint(broker.services, broker.ctx)
    await verify(before)
    // The key made by this rotation has never been fetched by anyone when the next one puts it to use.
    await broker.services.keys.rotate(broker.ctx, { force: true })
    await broker.services.keys.rotate(broker.ctx, { force: true })
    await expect(verify(await mint(broker.services, broker.ctx))).rejects.toBeInstanceOf(
      errors.JWKSNoMatchingKey,
    )
    await verify(before)
    const forced = await inTx(broker.ctx, (tx) =>
      tx.db('platform_audit_events').where({ action: 'signing_key.rotated' }).orderBy('id'),
    )
    expect(forced.map(({ facts }) => facts.forced)).toEqual([false, true, true])
  })

  test('the JWKS may be kept by verifiers for no longer than a key is published before it signs', async () => {
    const response = await fetch(`${broker.baseUrl}/.well-known/jwks.json`)
    expect(response.headers.get('content-type')).toBe('application/jwk-set+json')
    expect(response.headers.get('cache-control')).toBe('public, max-age=300')
    await age(299)
    expect(await refusalCode(broker.services.keys.rotate(broker.ctx))).toBe('next_key_too_young')
    await age(300)
    expect(await refusalCode(broker.services.keys.rotate(broker.ctx))).toBe('not refused')
  })
})
