import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { newUuid, toId } from '../../src/core/ids.ts'
import { forOrg, inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import {
  BASE_URL,
  openSession,
  person,
  refusalCode,
  servicesOn,
  tenant,
} from '../tokens/support/installation.ts'

const SECRET = 'an upstream client secret that nobody may see'
const ISSUER = 'https://idp.example'

describe('the connections of an organisation', () => {
  const db = testDatabase()
  let services: Services
  let acme: { orgId: string } & ReturnType<typeof db.ctx>
  let globex: typeof acme

  beforeAll(async () => {
    services = servicesOn(systemClock)
    const organisation = async (name: string) =>
      forOrg(db.ctx(), (await services.organisations.create(db.ctx(), { name })).id)
    acme = await organisation('Acme')
    globex = await organisation('Globex')
  })

  const draft = (type = 'oidc') => services.connections.create(acme, { type, name: 'A connection' })

  const complete = () =>
    services.connections.create(acme, {
      type: 'oidc',
      name: 'A connection',
      config: { issuer: ISSUER, clientId: 'portico' },
      secrets: { clientSecret: SECRET },
    })

  const eventsOf = async (id: string) =>
    (await inTx(acme, (tx) => services.audit.list(tx, { limit: 10_000 }))).filter(
      (event) => event.target_id === id,
    )

  const actionsOf = async (id: string) => (await eventsOf(id)).map(({ action }) => action)

  const stored = async (id: string) => inTx(acme, (tx) => tx.db('connections').where({ id }).first())

  test('a draft has its URLs at once, and signs nobody in', async () => {
    const oidc = await draft()
    expect(oidc).toMatchObject({
      status: 'draft',
      urls: { redirectUri: `${BASE_URL}/oidc/${toId('con', oidc.id)}/callback` },
      rules: { linkKey: 'externalId', linkByEmail: false, justInTime: 'auto', admitGuests: false },
    })
    const saml = await draft('saml')
    const base = `${BASE_URL}/saml/${toId('con', saml.id)}`
    expect(saml.urls).toMatchObject({ acsUrl: `${base}/acs`, entityId: `${base}/metadata` })
    const held = await inTx(acme, (tx) => services.connections.holdEnabled(tx, oidc.id))
    expect(held).toBe(false)
    expect(await actionsOf(oidc.id)).toEqual(['connection.created'])
  })

  test('a draft cannot be enabled, and it is said what lacks', async () => {
    const { id } = await draft()
    await expect(services.connections.enable(acme, id)).rejects.toMatchObject({
      kind: 'conflict',
      code: 'connection_incomplete',
      message:
        'The connection cannot be enabled yet. It lacks: the issuer of the IdP, the client ID that the IdP gave, the client secret that the IdP gave.',
    })
    await services.connections.update(acme, id, { config: { issuer: ISSUER, clientId: 'portico' } })
    await expect(services.connections.enable(acme, id)).rejects.toThrow(
      'It lacks: the client secret that the IdP gave.',
    )
    await services.connections.update(acme, id, { secrets: { clientSecret: SECRET } })
    expect(await services.connections.enable(acme, id)).toMatchObject({ status: 'enabled' })
    expect(await inTx(acme, (tx) => services.connections.holdEnabled(tx, id))).toBe(true)
  })

  test('a connection is switched off and on again, each with an audit row', async () => {
    const { id } = await complete()
    await services.connections.enable(acme, id)
    expect(await services.connections.disable(acme, id)).toMatchObject({ status: 'disabled' })
    expect(await inTx(acme, (tx) => services.connections.holdEnabled(tx, id))).toBe(false)
    expect(await services.connections.get(acme, id)).toMatchObject({ status: 'disabled' })
    await services.connections.enable(acme, id)
    expect((await actionsOf(id)).slice(-3)).toEqual([
      'connection.enabled',
      'connection.disabled',
      'connection.enabled',
    ])
  })

  test('an enabled connection cannot be made incomplete; a disabled one can', async () => {
    const { id } = await complete()
    await services.connections.enable(acme, id)
    const emptied = { secrets: { clientSecret: '' } }
    await expect(services.connections.update(acme, id, emptied)).rejects.toMatchObject({
      code: 'connection_incomplete',
      message:
        'The connection is enabled and would stop working. It lacks: the client secret that the IdP gave.',
    })
    expect(await refusalCode(services.connections.update(acme, id, { config: { issuer: undefined } }))).toBe(
      'connection_incomplete',
    )
    expect(await refusalCode(services.connections.update(acme, id, { config: { clientId: 'other' } }))).toBe(
      'not refused',
    )
    await services.connections.disable(acme, id)
    expect(await refusalCode(services.connections.update(acme, id, emptied))).toBe('not refused')
    expect(await refusalCode(services.connections.enable(acme, id))).toBe('connection_incomplete')
  })

  describe('its secrets', () => {
    test('are sealed in the database, and in no answer', async () => {
      const created = await complete()
      const enabled = await services.connections.enable(acme, created.id)
      const updated = await services.connections.update(acme, created.id, { name: 'Renamed' })
      const disabled = await services.connections.disable(acme, created.id)
      const got = await services.connections.get(acme, created.id)
      const listed = await services.connections.list(acme)
      for (const answer of [created, enabled, updated, disabled, got, listed]) {
        expect(JSON.stringify(answer)).not.toContain(SECRET)
        expect(JSON.stringify(answer).toLowerCase()).not.toContain('sealed')
      }
      const row = await stored(created.id)
      expect(row.secrets_sealed.toString('latin1')).not.toContain(SECRET)
      expect(JSON.stringify(row.config)).not.toContain(SECRET)
      expect(JSON.stringify(await eventsOf(created.id))).not.toContain(SECRET)
    })

    test('include the private key of a SAML connection, and not its certificate', async () => {
      const { id, config } = await draft('saml')
      expect(config.spCertificate).toContain('BEGIN CERTIFICATE')
      expect(JSON.stringify([await services.connections.get(acme, id), await stored(id)])).not.toContain(
        'PRIVATE KEY',
      )
    })

    test('open for their own row, and for no other row and no other organisation', async () => {
      const [one, other] = [await complete(), await draft()]
      const { secrets_sealed: sealed } = await stored(one.id)
      const place = (row: string) => ({ table: 'connections', column: 'secrets_sealed', row })
      const open = (ctx: typeof acme, row: string) =>
        inTx(ctx, (tx) => services.envelope.open(tx, place(row), sealed))
      expect((await open(acme, one.id)).toString()).toContain(SECRET)
      expect(await refusalCode(open(acme, other.id))).toBe('unsealing_failed')
      expect(await refusalCode(open(globex, one.id))).toBe('unsealing_failed')
      await inTx(acme, (tx) =>
        tx.db('connections').where({ id: other.id }).update({ secrets_sealed: sealed }),
      )
      expect(await refusalCode(services.connections.open(acme, other.id))).toBe('unsealing_failed')
    })

    test('of other names are refused, by name and without the value', async () => {
      const { id } = await draft()
      const attempt = services.connections.update(acme, id, { secrets: { clientSecrets: SECRET } })
      await expect(attempt).rejects.toMatchObject({
        kind: 'invalid',
        code: 'connection_config',
        message: 'OpenID Connect has no secret named clientSecrets.',
      })
      const pollution = JSON.parse(`{"__proto__": "${SECRET}"}`) as Record<string, string>
      expect(await refusalCode(services.connections.update(acme, id, { secrets: pollution }))).toBe(
        'connection_config',
      )
      expect(
        await refusalCode(services.connections.update(acme, id, { secrets: { clientSecret: SECRET } })),
      ).toBe('not refused')
    })
  })

  test.each([
    ['an issuer over plain http', { issuer: 'http://idp.example' }, 'issuer: '],
    ['an issuer that is no URL', { issuer: 'idp' }, 'issuer: '],
    ['an unknown setting', { isuer: ISSUER }, '"isuer"'],
    ['a secret among the settings', { clientSecret: SECRET }, '"clientSecret"'],
    ['an algorithm with a shared key', { idTokenAlgorithm: 'HS256' }, 'idTokenAlgorithm: '],
    ['no algorithm', { idTokenAlgorithm: 'none' }, 'idTokenAlgorithm: '],
    ['scopes without openid', { scopes: ['email'] }, 'scopes: '],
    ['a scope with a space', { scopes: ['openid', 'a b'] }, 'scopes.1: '],
  ])('%s is refused, naming the field; nothing is changed', async (_, config, named) => {
    const { id } = await complete()
    const before = await stored(id)
    const attempt = services.connections.update(acme, id, { config })
    await expect(attempt).rejects.toMatchObject({ kind: 'invalid', code: 'connection_config' })
    await expect(attempt).rejects.toThrow(named)
    await expect(attempt).rejects.not.toThrow(SECRET)
    expect(await stored(id)).toEqual(before)
    await services.connections.update(acme, id, { config: { scopes: ['openid'] } })
  })

  test('a connection whose first settings are wrong is not created at all', async () => {
    const before = await services.connections.list(acme)
    const events = (await inTx(acme, (tx) => services.audit.list(tx, { limit: 10_000 }))).length
    const attempt = services.connections.create(acme, {
      type: 'oidc',
      name: 'Wrong',
      config: { issuer: 'idp' },
    })
    expect(await refusalCode(attempt)).toBe('connection_config')
    expect(await services.connections.list(acme)).toEqual(before)
    expect(await inTx(acme, (tx) => services.audit.list(tx, { limit: 10_000 }))).toHaveLength(events)
  })

  test('an unknown type is refused, and it is said which there are', async () => {
    const attempt = services.connections.create(acme, { type: 'ldap', name: 'Wrong' })
    await expect(attempt).rejects.toMatchObject({ kind: 'invalid', code: 'connection_type' })
    await expect(attempt).rejects.toThrow('saml, oidc')
  })

  test.each(['', '   ', 'x'.repeat(201)])(
    'the name “%s” is refused, at the start and later',
    async (name) => {
      expect(await refusalCode(services.connections.create(acme, { type: 'oidc', name }))).toBe(
        'connection_name',
      )
      const { id } = await draft()
      expect(await refusalCode(services.connections.update(acme, id, { name }))).toBe('connection_name')
      expect(await services.connections.update(acme, id, { name: ` ${'x'.repeat(200)} ` })).toMatchObject({
        name: 'x'.repeat(200),
      })
    },
  )

  test('an update leaves alone what it does not name, and its audit row has names but no values', async () => {
    const { id } = await complete()
    await services.connections.update(acme, id, {
      name: 'Renamed',
      config: { scopes: ['openid', 'groups'] },
      secrets: { clientSecret: 'another secret' },
      rules: { linkByEmail: true, justInTime: undefined as never },
    })
    const after = await services.connections.get(acme, id)
    expect(after).toMatchObject({
      name: 'Renamed',
      config: { issuer: ISSUER, clientId: 'portico', scopes: ['openid', 'groups'] },
      rules: { linkKey: 'externalId', linkByEmail: true, justInTime: 'auto', admitGuests: false },
    })
    const [, , row] = await eventsOf(id)
    expect(row).toMatchObject({
      action: 'connection.updated',
      facts: { changed: expect.arrayContaining(['name', 'scopes', 'clientSecret', 'linkByEmail']) },
    })
    expect(JSON.stringify(row)).not.toContain('another secret')
  })

  test('a rename is an admin action like any other', async () => {
    const { id } = await draft()
    await services.connections.update(acme, id, { name: 'Renamed' })
    expect((await eventsOf(id)).at(-1)).toMatchObject({
      action: 'connection.updated',
      facts: { changed: ['name'] },
    })
    const rows = (await eventsOf(id)).length
    await services.connections.update(acme, id, { name: 'Renamed' })
    expect(await eventsOf(id)).toHaveLength(rows)
  })

  test('another organisation can neither see nor change nor open a connection', async () => {
    const { id } = await complete()
    const { connections } = services
    const attempts = [
      connections.get(globex, id),
      connections.update(globex, id, { name: 'Stolen' }),
      connections.enable(globex, id),
      connections.disable(globex, id),
      connections.open(globex, id),
      connections.remove(globex, id),
      connections.get(acme, newUuid()),
    ]
    expect(await Promise.all(attempts.map(refusalCode))).toEqual(attempts.map(() => 'connection_not_found'))
    expect(await connections.list(globex)).toEqual([])
    expect(await inTx(globex, (tx) => connections.holdEnabled(tx, id))).toBe(false)
    expect((await connections.get(acme, id)).name).toBe('A connection')
  })

  test('a domain is answered by the connection assigned to it, else by the only enabled one', async () => {
    const { ctx } = await tenant(services, db.ctx(), 'routes.test')
    const made = (name: string) =>
      services.connections.create(ctx, {
        type: 'oidc',
        name,
        config: { issuer: ISSUER, clientId: 'portico' },
        secrets: { clientSecret: SECRET },
      })
    const [first, second] = [await made('First'), await made('Second')]
    const route = (assigned: string | null) => services.connections.forDomain(ctx, assigned)
    expect(await route(null)).toBeUndefined()
    expect(await route(first.id)).toBeUndefined()
    await services.connections.enable(ctx, first.id)
    expect(await route(null)).toBe(first.id)
    expect(await route(second.id)).toBeUndefined()
    await services.connections.enable(ctx, second.id)
    expect(await route(null)).toBeUndefined()
    expect(await route(second.id)).toBe(second.id)
    await services.connections.disable(ctx, first.id)
    expect(await route(null)).toBe(second.id)
  })

  test('a removed connection takes its sessions along', async () => {
    const made = await tenant(services, db.ctx(), 'removed.test')
    const user = await services.users.create(made.ctx, person('ada@removed.test'), { directoryId: null })
    const { cookie } = await openSession(services, made, user.id, new Date())
    expect(await services.sessions.resume(db.ctx(), cookie)).not.toBeNull()
    await services.connections.remove(made.ctx, made.connectionId)
    expect(await services.sessions.resume(db.ctx(), cookie)).toBeNull()
    expect(await refusalCode(services.connections.get(made.ctx, made.connectionId))).toBe(
      'connection_not_found',
    )
  })
})
