import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { freePort } from '../../src/db/embedded/cluster.ts'
import type { Services } from '../../src/services.ts'
import { type BrokerProcess, spawnBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import {
  type App,
  issueCode,
  openSession,
  person,
  REDIRECT_URI,
  registerApp,
  servicesOn,
  type Tenant,
  tenant,
} from './support/installation.ts'

type Answer = { status: number; body: Record<string, string> }

describe('two brokers on one database', () => {
  const db = testDatabase()
  let nodes: BrokerProcess[] = []
  let services: Services
  let acme: Tenant
  let app: App

  beforeAll(async () => {
    const baseUrl = `http://localhost:${await freePort()}`
    services = servicesOn(systemClock, baseUrl)
    // Keys come from whichever node starts first; neither is asked to wait for the other.
    nodes = await Promise.all(
      [1, 2].map(() => spawnBroker({ DATABASE_URL: db.urls.app, PORTICO_BASE_URL: baseUrl })),
    )
    acme = await tenant(services, db.ctx(), 'acme.test')
    app = await registerApp(services, db.ctx())
  })

  afterAll(async () => {
    for (const { child } of nodes) child.kill('SIGTERM')
    expect(await Promise.all(nodes.map(({ exited }) => exited))).toEqual(nodes.map(() => 0))
  })

  const post = async (turn: number, form: Record<string, string>): Promise<Answer> => {
    const { port } = nodes[turn % nodes.length] as BrokerProcess
    const response = await fetch(`http://localhost:${port}/oauth2/token`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: app.clientId, client_secret: app.clientSecret, ...form }),
    })
    return { status: response.status, body: (await response.json()) as Record<string, string> }
  }

  const sixteen = (form: Record<string, string>): Promise<Answer[]> =>
    Promise.all(Array.from({ length: 16 }, (_, turn) => post(turn, form)))

  const refresh = (token: string) => ({ grant_type: 'refresh_token', refresh_token: token })

  const codeOfSomeone = async () => {
    const user = await services.users.create(
      acme.ctx,
      person(`${randomBytes(4).toString('hex')}@acme.test`),
      { directoryId: null },
    )
    const { session } = await openSession(services, acme, user.id, new Date())
    const { code, verifier } = await issueCode(services, acme, session, app)
    return {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    }
  }

  test('both sign with the one key that both publish', async () => {
    const documents = await Promise.all(
      nodes.map(async ({ port }) => (await fetch(`http://localhost:${port}/.well-known/jwks.json`)).json()),
    )
    expect(documents[0]).toEqual(documents[1])
    expect((documents[0] as { keys: unknown[] }).keys).toHaveLength(2)
  })

  test('a code redeemed sixteen times at once, eight at each, gives one token response and a dead family', async () => {
    for (let round = 0; round < 6; round += 1) {
      const answers = await sixteen(await codeOfSomeone())
      const won = answers.filter(({ status }) => status === 200)
      expect(won).toHaveLength(1)
      const lost = answers.filter(({ status }) => status !== 200)
      expect(new Set(lost.map(({ status, body }) => `${status} ${body.error}`))).toEqual(
        new Set(['400 invalid_grant']),
      )
      const dead = await post(round, refresh(won[0]?.body.refresh_token ?? ''))
      expect(dead).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    }
  })

  test('a refresh token presented sixteen times at once, eight at each, has one successor', async () => {
    let token = (await post(0, await codeOfSomeone())).body.refresh_token ?? ''
    for (let round = 0; round < 6; round += 1) {
      const answers = await sixteen(refresh(token))
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      const successors = new Set(answers.map(({ body }) => body.refresh_token))
      expect(successors.size).toBe(1)
      // Every answer is a token response of its own, whichever node gave it.
      expect(new Set(answers.map(({ body }) => body.access_token)).size).toBe(16)
      token = answers[0]?.body.refresh_token ?? ''
    }
    expect((await post(1, refresh(token))).status).toBe(200)
  })
})
