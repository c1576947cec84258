import { readdirSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type Router from '@koa/router'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../../src/app.ts'
import { systemClock } from '../../src/core/clock.ts'
import { openDatabase } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import { createManagement } from '../../src/http/management.ts'
import { createServices } from '../../src/services.ts'
import { testMasterKey } from '../support/broker.ts'

const FOLDER = 'docs/http'
const BASE_URL = 'http://localhost:3000'

type Sent = { file: string; title: string; method: string; url: string; missing: string[] }

/** The requests of one file, as an editor would send them: variables filled in from the lines at the top. */
const requestsOf = (file: string): Sent[] => {
  const [top = '', ...rest] = readFileSync(`${FOLDER}/${file}`, 'utf8').split(/^### /m)
  const values = new Map(
    [...top.matchAll(/^@(\w+) = (.*)$/gm)].map(([, name, value]) => [name as string, value as string]),
  )
  return rest.map((block) => {
    const [title = '', line = ''] = block.split('\n')
    const missing = [...block.matchAll(/\{\{(\w+)\}\}/g)]
      .map(([, name]) => name as string)
      .filter((name) => !values.has(name))
    const [method = '', ...target] = line.split(' ')
    const url = target.join(' ').replaceAll(/\{\{(\w+)\}\}/g, (_, name) => values.get(name) ?? '')
    return { file, title, method, url, missing }
  })
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.http'))
const requests = files.flatMap(requestsOf)
const named = (one: Sent): [string, Sent] => [`${one.file}: ${one.title}`, one]
const ofManagement = requests.filter(({ file }) => file === 'management.http')
const ofTheApp = requests.filter(({ file }) => file !== 'management.http')

/** Routes that exist in order to say no: SCIM's for what is not offered, and metadata of a type that has none. */
const REFUSALS = /\{\/\*rest\}$|^\/scim\/v2$|\/(\.search|Me|Bulk|Groups(\/:id)?)$|^\/oidc\/:con\/metadata$/

/** The router of the real app. The pool connects when it is first asked, which is never. */
const openRouter = () => {
  const logger = createLogger('silent')
  const db = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', size: 1 })
  const services = createServices({
    baseUrl: BASE_URL,
    masterKey: testMasterKey,
    outboundAllowLoopback: false,
    clock: systemClock,
    logger,
  })
  const app = createApp({
    config: { baseUrl: BASE_URL, trustedProxies: [], securityContact: 'mailto:security@example.com' },
    db,
    services,
    logger,
    observe: () => undefined,
  })
  const routers = app.middleware.flatMap((middleware) => (middleware as { router?: Router }).router ?? [])
  const close = () => Promise.all([db.destroy(), services.outbound.close()])
  return { router: routers[0] as Router, close }
}

const { router, close } = openRouter()
const routes = router.stack.filter(({ path }) => !REFUSALS.test(String(path)))

const routesFor = ({ method, url }: Sent): string[] => {
  const { pathname } = new URL(url)
  return routes
    .filter((route) => route.methods.includes(method) && route.regexp.test(pathname))
    .map(({ path }) => String(path))
}

afterAll(close)

describe('the requests in docs/http', () => {
  test.each(requests.map(named))(
    '%s: has its variables at the top of its file',
    (_, { missing, method, url }) => {
      expect(missing).toEqual([])
      expect(method).toMatch(/^(GET|POST|PUT|PATCH|DELETE)$/)
      expect(URL.canParse(url), url).toBe(true)
    },
  )

  test.each(ofTheApp.map(named))('%s: goes to a route of the app', (_, sent) => {
    expect(new URL(sent.url).origin).toBe(BASE_URL)
    expect(routesFor(sent)).not.toEqual([])
  })

  test('leave no route of the app out', () => {
    const reached = new Set(ofTheApp.flatMap(routesFor))
    expect(routes.length).toBeGreaterThan(15)
    expect(routes.map(({ path }) => String(path)).filter((path) => !reached.has(path))).toEqual([])
  })

  describe('to the management port', () => {
    const { server } = createManagement({ isReady: async () => true })

    beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
    afterAll(() => {
      server.closeAllConnections()
      server.close()
    })

    test.each(ofManagement.map(named))('%s: is answered', async (_, { method, url }) => {
      const { port } = server.address() as AddressInfo
      const { pathname } = new URL(url)
      expect((await fetch(`http://127.0.0.1:${port}${pathname}`, { method })).status).toBe(200)
    })
  })
})
