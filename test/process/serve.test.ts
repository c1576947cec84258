import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { newUuid, toId } from '../../src/core/ids.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { createUserAgent } from '../../src/demo/user-agent.ts'
import { type BrokerProcess, spawnBroker, startBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { interruptible } from '../support/interruptible.ts'
import { registeredApp, samlCompany, someone, upToCallback, whoAmI } from '../support/scenario.ts'

const alice = someone('Alice', 'acme.test')

describe('the broker process', () => {
  const db = testDatabase()
  const running: BrokerProcess[] = []

  const spawn = async (environment: Record<string, string> = {}): Promise<BrokerProcess> => {
    const broker = await spawnBroker({ DATABASE_URL: db.urls.app, ...environment })
    running.push(broker)
    return broker
  }

  afterEach(async () => {
    for (const { child, exited } of running.splice(0)) {
      child.kill('SIGKILL')
      await exited
    }
  })

  const health = async (broker: BrokerProcess, path: string) =>
    fetch(`http://127.0.0.1:${broker.managementPort}${path}`)

  test('answers health and metrics on the management port, and nothing of them on the public one', async () => {
    const broker = await spawn()
    expect((await health(broker, '/health/live')).status).toBe(200)
    expect((await health(broker, '/health/ready')).status).toBe(200)
    await fetch(`http://127.0.0.1:${broker.port}/.well-known/jwks.json`)
    const metrics = await (await health(broker, '/metrics')).text()
    expect(metrics).toContain('route="/.well-known/jwks.json",status="200"')
    for (const path of ['/health/live', '/health/ready', '/metrics']) {
      expect((await fetch(`http://127.0.0.1:${broker.port}${path}`)).status).toBe(404)
    }
  })

  test('logs one JSON line a request, with its ID and its route, and never the query', async () => {
    const broker = await spawn()
    const answer = await fetch(
      `http://127.0.0.1:${broker.port}/oauth2/authorize?client_id=nobody&login_hint=somebody%40acme.test`,
    )
    const id = answer.headers.get('x-request-id')
    await sleep(50)
    const line = broker
      .log()
      .split('\n')
      .filter((text) => text.includes(`"${id}"`))
      .map((text) => JSON.parse(text))
      .find(({ msg }) => msg === 'request')
    expect(line).toMatchObject({ method: 'GET', route: '/oauth2/authorize', status: 400 })
    expect(broker.log()).not.toContain('somebody')
  })

  test('on SIGTERM is no longer ready, answers what is under way, and exits with 0', async () => {
    const broker = await spawn()
    // A request that waits for the database: the row lock of a sign-in's own table is held by us.
    const blocker = new pg.Client({ connectionString: db.urls.owner })
    await blocker.connect()
    await blocker.query('begin; lock table signing_keys in access exclusive mode')
    const underWay = fetch(`http://127.0.0.1:${broker.port}/.well-known/jwks.json`)
    await sleep(300)
    const started = Date.now()
    broker.child.kill('SIGTERM')
    await expect.poll(async () => (await health(broker, '/health/ready')).status).toBe(503)
    await expect(fetch(`http://127.0.0.1:${broker.port}/.well-known/jwks.json`)).rejects.toThrow()
    await blocker.query('commit')
    await blocker.end()
    expect((await underWay).status).toBe(200)
    expect(await broker.exited).toBe(0)
    expect(Date.now() - started).toBeLessThan(25_000)
  })

  test('a defect that nobody caught ends it, loudly and non-zero', async () => {
    const crash = `data:text/javascript,process.on('SIGUSR2',()=>{throw(Error('a-defect'))})`
    const broker = await spawn({ NODE_OPTIONS: `--import=${crash}` })
    broker.child.kill('SIGUSR2')
    expect(await broker.exited).toBe(1)
    expect(broker.log()).toContain('"msg":"uncaught"')
  })

  test.each([
    ['the owner of the schema', () => db.urls.owner, /portico_owner, which owns/],
    ['a superuser', () => db.urls.superuser, /is a superuser/],
  ])('does not serve as %s', async (_, url, sentence) => {
    await expect(spawn({ DATABASE_URL: url() })).rejects.toThrow(sentence)
  })

  test('says 503 with Retry-After while the database is away, and serves again when it is back', async () => {
    const wire = await interruptible(db.urls.app)
    const broker = await spawn({ DATABASE_URL: wire.url })
    const jwks = () => fetch(`http://127.0.0.1:${broker.port}/.well-known/jwks.json`)
    const authorize = () =>
      fetch(`http://127.0.0.1:${broker.port}/oauth2/authorize?client_id=${toId('cli', newUuid())}`)
    expect((await jwks()).status).toBe(200)
    await wire.cut()
    for (const answer of [await jwks(), await authorize()]) {
      expect(answer.status).toBe(503)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    expect((await health(broker, '/health/ready')).status).toBe(503)
    expect((await health(broker, '/health/live')).status).toBe(200)
    await wire.mend()
    await expect.poll(async () => (await jwks()).status, { timeout: 5_000 }).toBe(200)
    expect((await health(broker, '/health/ready')).status).toBe(200)
    await wire.close()
  })

  test('a sign-in begun on one process is finished on another', async () => {
    const saml = await startSamlIdp({ people: [alice] })
    // The first node is this test's own; the second shares its database, its base URL and its master key.
    const first = await startBroker({ db: db.app })
    const second = await spawn({ PORTICO_BASE_URL: first.baseUrl })
    const app = await registeredApp(first)
    const company = await samlCompany(first, saml, { domain: 'acme.test' })
    const agent = createUserAgent()
    const form = (await upToCallback(agent, app, alice.email, alice)).form('SAMLResponse')
    await agent.submit({
      ...form,
      action: `http://localhost:${second.port}/saml/${company.connection.id}/acs`,
    })
    expect(await whoAmI(agent, app)).toMatchObject({ signedIn: true, email: alice.email })
    await Promise.all([agent.close(), app.close(), saml.close(), first.close()])
  })
})
