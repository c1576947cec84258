import { connect as connectTls, type SecureVersion } from 'node:tls'
import { Agent, request } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { toId } from '../../src/core/ids.ts'
import { freePort } from '../../src/db/embedded/cluster.ts'
import { type SamlIdp, startSamlIdp } from '../../src/demo/saml-idp.ts'
import { type BrokerProcess, spawnBroker, startBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import { type Interruptible, interruptible } from '../support/interruptible.ts'
import { samlCompany, someone } from '../support/scenario.ts'
import { createAuthority, type ServerCertificate } from '../support/tls.ts'
import { findHaproxy, type RunningProxy, startProxy } from './haproxy.ts'
import { createPlatformApp, type Load, type PlatformApp, REDIRECT_URI, startLoad } from './platform-app.ts'

const people = ['Ann', 'Ben', 'Cleo', 'Dev', 'Eve', 'Finn'].map((name) => someone(name, 'acme.test'))

const HSTS = 'max-age=63072000; includeSubDomains'

const program = findHaproxy()

const ABSENT =
  'NOT TESTED: deploy/haproxy.cfg, because HAProxy is not installed here. On Debian: apt-get install haproxy'

const whereHaproxyIs = (haproxy: string) => {
  const db = testDatabase()
  const nodes: BrokerProcess[] = []
  const closing: (() => Promise<unknown>)[] = []
  let baseUrl: string
  let port: number
  let certificate: ServerCertificate
  let authority: string
  let app: PlatformApp
  let proxy: RunningProxy
  let wire: Interruptible
  let load: Load | undefined

  const node = (index: number): BrokerProcess => nodes[index] as BrokerProcess

  const inFrontOf = async (one: number, other: number): Promise<void> => {
    proxy = await startProxy({ program: haproxy, port, certificate, nodes: [node(one), node(other)] })
  }

  /** A connection as a client of its own, from its own address. */
  const agent = (localAddress = '127.0.0.1') => {
    const made = new Agent({ localAddress, connect: { ca: authority } })
    closing.push(() => made.close())
    return made
  }

  const isGone = (index: number) => () => proxy.log().includes(`brokers/${'ab'[index]} is DOWN`)

  beforeAll(async () => {
    port = await freePort()
    baseUrl = `https://localhost:${port}`
    const made = await createAuthority()
    authority = made.certificatePem
    certificate = await made.issue('localhost')
    const setUp = await startBroker({ db: db.app, baseUrl })
    const idp: SamlIdp = await startSamlIdp({ people })
    closing.push(setUp.close, idp.close)
    await samlCompany(setUp, idp, { domain: 'acme.test' })
    const registered = await setUp.services.clients.create(setUp.ctx, {
      name: 'Platform app',
      redirectUris: [REDIRECT_URI],
    })
    app = createPlatformApp({
      baseUrl,
      clientId: toId('cli', registered.client.id),
      clientSecret: registered.clientSecret,
      dispatcher: agent(),
    })
    wire = await interruptible(db.urls.app)
    closing.push(wire.close)
    const environment = {
      DATABASE_URL: wire.url,
      PORTICO_BASE_URL: baseUrl,
      PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'off',
      PORTICO_TRUSTED_PROXIES: '127.0.0.1/32',
    }
    nodes.push(...(await Promise.all([1, 2, 3].map(() => spawnBroker(environment)))))
    await inFrontOf(0, 1)
  })

  afterAll(async () => {
    await proxy?.stop()
    for (const { child, exited } of nodes) {
      child.kill('SIGKILL')
      await exited
    }
    for (const close of closing.reverse()) await close()
  })

  // A test that ran out of time must not leave people signing in behind it.
  afterEach(async () => {
    await load?.stop()
    load = undefined
  })

  const handshake = (version: SecureVersion): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls(
        {
          port,
          host: '127.0.0.1',
          servername: 'localhost',
          ca: authority,
          minVersion: version,
          maxVersion: version,
        },
        () => {
          resolve(String(socket.getProtocol()))
          socket.destroy()
        },
      )
      socket.once('error', reject)
    })

  test('speaks TLS 1.3 and refuses TLS 1.2', async () => {
    await expect(handshake('TLSv1.2')).rejects.toThrow(/alert protocol version/)
    expect(await handshake('TLSv1.3')).toBe('TLSv1.3')
  })

  test('says HSTS once, for every subdomain', async () => {
    const { statusCode, headers, body } = await request(`${baseUrl}/.well-known/jwks.json`, {
      dispatcher: agent(),
    })
    await body.dump()
    expect(statusCode).toBe(200)
    expect(headers['strict-transport-security']).toBe(HSTS)
  })

  test('keeps health and metrics inside', async () => {
    for (const path of ['/health/live', '/health/ready', '/metrics']) {
      const { statusCode, body } = await request(`${baseUrl}${path}`, { dispatcher: agent() })
      expect(statusCode).toBe(404)
      await body.dump()
      expect((await fetch(`http://127.0.0.1:${node(0).managementPort}${path}`)).status).toBe(200)
    }
  })

  test('tells the broker who the client is, and nobody else is believed about that', async () => {
    const forged = { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' }
    const clientOf = async (origin: string, from: string): Promise<unknown> => {
      const { headers, body } = await request(`${origin}/.well-known/jwks.json`, {
        dispatcher: agent(from),
        headers: forged,
      })
      await body.dump()
      const logged = () =>
        nodes
          .flatMap((broker) => broker.log().split('\n'))
          .find((line) => line.includes(String(headers['x-request-id'])))
      await expect.poll(logged).toBeDefined()
      return JSON.parse(logged() as string).client
    }
    expect(await clientOf(baseUrl, '127.0.0.5')).toBe('127.0.0.5')
    // Past the proxy, from an address that PORTICO_TRUSTED_PROXIES does not name, and from one that it does.
    const direct = `http://127.0.0.1:${node(0).port}`
    expect(await clientOf(direct, '127.0.0.6')).toBe('127.0.0.6')
    expect(await clientOf(direct, '127.0.0.1')).toBe('203.0.113.9')
  })

  test('a node that is stopped while people sign in fails no request', async () => {
    load = startLoad(app, people)
    await load.answered(people.length)
    node(0).child.kill('SIGTERM')
    expect(await node(0).exited).toBe(0)
    await load.answered(people.length)
    await load.stop()
    expect(load.failures).toEqual([])
    for (const stopped of [0, 1])
      expect(node(stopped).log()).toContain('"route":"/saml/:con/acs","status":303')
    for (const code of load.codes) await app.userInfo(await app.redeem(code))
    for (const tokens of load.tokens) await app.userInfo(tokens)
  })

  test('a node that is killed while people sign in loses no sign-in that was answered', async () => {
    await proxy.stop()
    await inFrontOf(1, 2)
    load = startLoad(app, people)
    await load.answered(2 * people.length)
    node(1).child.kill('SIGKILL')
    await node(1).exited
    await load.answered(2 * people.length)
    await load.stop()
    expect(isGone(0)()).toBe(true)
    // What was inside the node when it died cannot be answered: at most one request of each person.
    expect(load.failures.length, load.failures.join('\n')).toBeLessThanOrEqual(people.length)
    for (const code of load.codes) await app.userInfo(await app.redeem(code))
    for (const tokens of load.tokens) {
      await app.userInfo(tokens)
      await app.refresh(tokens)
    }
  })

  const keys = async () => {
    const { statusCode, headers, body } = await request(`${baseUrl}/.well-known/jwks.json`, {
      dispatcher: agent(),
    })
    return { status: statusCode, headers, text: await body.text() }
  }

  test('without the database the brokers themselves say when to come again, and then all is well', async () => {
    await wire.cut()
    await expect.poll(isGone(1), { timeout: 5_000 }).toBe(true)
    const refused = await keys()
    expect(refused).toMatchObject({ status: 503, headers: { 'strict-transport-security': HSTS } })
    expect(refused.headers['retry-after']).toMatch(/^\d+$/)
    await wire.mend()
    await expect.poll(async () => (await keys()).status, { timeout: 5_000 }).toBe(200)
  })

  test('without any node the answer is the proxy’s own, and HSTS holds', async () => {
    node(2).child.kill('SIGKILL')
    await node(2).exited
    const refused = await keys()
    expect(refused).toMatchObject({ status: 503, headers: { 'strict-transport-security': HSTS } })
    expect(refused.headers['x-request-id']).toBeUndefined()
  })
}

describe('the proxy in front of two brokers', () => {
  if (program !== undefined) return whereHaproxyIs(program)

  test('is not here, which is said aloud, and is a failure where it was to be', () => {
    process.stderr.write(`\n${ABSENT}\n`)
    expect(process.env.REQUIRE_PROXY, ABSENT).toBeUndefined()
  })
})
