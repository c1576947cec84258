import { createServer, type Server } from 'node:http'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { RequestObserver } from './log.ts'

/** Health and metrics, on a port of their own that nobody outside can reach. */
export type Management = { server: Server; observe: RequestObserver; registry: Registry }

type Answer = { status: number; type: string; body: string }

const json = (status: number, body: unknown): Answer => ({
  status,
  type: 'application/json',
  body: JSON.stringify(body),
})

/**
 * @param isReady resolves to false while draining, or while the database does not answer
 */
export const createManagement = ({ isReady }: { isReady: () => Promise<boolean> }): Management => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // No organisation or user in a label: metrics are read by people who may not know who signs in where.
  const durations = new Histogram({
    name: 'portico_http_request_duration_seconds',
    help: 'Time to answer a request, by route',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  })

  const answers: Readonly<Record<string, () => Promise<Answer>>> = {
    '/health/live': async () => json(200, { status: 'live' }),
    '/health/ready': async () =>
      (await isReady()) ? json(200, { status: 'ready' }) : json(503, { status: 'not ready' }),
    '/metrics': async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
  }

  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] as string
    const answer = Object.hasOwn(answers, path) && request.method === 'GET' ? answers[path] : undefined
    const send = ({ status, type, body }: Answer) =>
      response.writeHead(status, { 'Content-Type': type }).end(body)
    if (!answer) return send(json(404, { status: 'not found' }))
    answer().then(send, () => send(json(500, { status: 'error' })))
  })

  const observe: RequestObserver = ({ method, route, status, seconds }) =>
    durations.observe({ method, route, status: String(status) }, seconds)

  return { server, observe, registry }
}
