import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { examine, type Patient } from '../../src/cli/examination.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openDatabase } from '../../src/db/pool.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { startBroker, testMasterKey } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { samlCompany } from '../support/scenario.ts'

describe('the doctor', () => {
  const db = testDatabase()
  let patient: Patient

  beforeAll(async () => {
    const broker = await startBroker({ db: db.app })
    const idp = await startSamlIdp({ people: [] })
    await samlCompany(broker, idp, { domain: 'acme.test' })
    patient = {
      config: loadConfig({}),
      db: db.app,
      ctx: db.ctx(),
      masterKey: () => testMasterKey,
      services: () => broker.services,
    }
    await Promise.all([broker.close(), idp.close()])
  })

  const finding = async (check: string, changes: Partial<Patient> = {}) =>
    (await examine({ ...patient, ...changes })).find((found) => found.check === check)

  test('finds nothing at a sound installation', async () => {
    const findings = await examine(patient)
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([])
    expect(findings).toHaveLength(10)
  })

  test('finds a role for which row security is decoration', async () => {
    expect(await finding('role', { db: db.owner })).toMatchObject({ level: 'fault' })
  })

  test('finds a table whose row security was switched off by hand', async () => {
    await db.owner.raw('alter table sessions no force row level security')
    expect(await finding('row security')).toMatchObject({
      level: 'fault',
      finding: expect.stringContaining('sessions'),
    })
    await db.owner.raw('alter table sessions force row level security')
    expect(await finding('row security')).toMatchObject({ level: 'ok' })
  })

  test('finds a master key that is not the one', async () => {
    expect(await finding('master key', { masterKey: () => randomBytes(32) })).toMatchObject({
      level: 'fault',
    })
  })

  test('finds a missing migration', async () => {
    const last = await db.owner('knex_migrations').orderBy('id', 'desc').first()
    await db.owner('knex_migrations').where({ id: last.id }).delete()
    expect(await finding('migrations')).toMatchObject({
      level: 'fault',
      finding: expect.stringContaining(last.name),
    })
    await db.owner('knex_migrations').insert(last)
  })

  test('finds an old signing key', async () => {
    await db
      .owner('signing_keys')
      .where({ state: 'active' })
      .update({ activated_at: new Date('2020-01-01') })
    expect(await finding('signing keys')).toMatchObject({ level: 'warning' })
  })

  test('finds expired sign-ins that nobody sweeps', async () => {
    const [client] = await db
      .owner('clients')
      .insert({
        id: '01900000-0000-7000-8000-000000000001',
        name: 'x',
        redirect_uris: [],
        audience: 'x',
        secret_hash: 'x',
      })
      .returning('id')
    const long = new Date(Date.now() - 86_400_000)
    await db.owner('login_requests').insert({
      handle_hash: 'x',
      browser_hash: 'x',
      client_id: client.id,
      redirect_uri: 'x',
      scope: 'openid',
      code_challenge: 'x',
      created_at: long,
      expires_at: long,
    })
    expect(await finding('background work')).toMatchObject({ level: 'warning' })
    await db.app.raw('select sweep_expired(10)')
    expect(await finding('background work')).toMatchObject({ level: 'ok' })
  })

  test('finds an https address that does not answer', async () => {
    const config = { ...loadConfig({}), baseUrl: 'https://localhost:1' }
    expect(await finding('base url', { config })).toMatchObject({ level: 'warning' })
  })

  test('finds an IdP certificate that ends soon', async () => {
    const { connections, ...others } = patient.services()
    const all = await patient.services().organisations.list(patient.ctx)
    expect(all).toHaveLength(1)
    const soon = async (...args: Parameters<typeof connections.expiries>) =>
      (await connections.expiries(...args)).map((end) => ({
        ...end,
        at: new Date(Date.now() + 5 * 86_400_000),
      }))
    const services = () => ({ ...others, connections: { ...connections, expiries: soon } })
    expect(await finding('certificates', { services })).toMatchObject({
      level: 'warning',
      finding: expect.stringContaining('con_'),
    })
  })

  test('says what cannot be examined where the schema is not there at all', async () => {
    const url = new URL(db.urls.superuser)
    url.pathname = '/postgres'
    const empty = openDatabase({ url: url.href, size: 1 })
    const found = await examine({ ...patient, db: empty, ctx: { ...patient.ctx, db: empty } })
    expect(found.find(({ check }) => check === 'signing keys')).toMatchObject({
      finding: 'Not examined: the schema is incomplete.',
    })
    await empty.destroy()
  })
})
