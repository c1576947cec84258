import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import type { Logger } from 'pino'
import { createApp } from '../../src/app.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import type { Ctx } from '../../src/core/ctx.ts'
import { freePort } from '../../src/db/embedded/cluster.ts'
import type { Database } from '../../src/db/pool.ts'
import { createLogger } from '../../src/http/log.ts'
import { createServices, type Services } from '../../src/services.ts'

export type TestBroker = {
  baseUrl: string
  services: Services
  /** A context without a tenant, as the system. */
  ctx: Ctx
  close: () => Promise<void>
}

/** One for all brokers of a test file, so that two of them open each other's secrets, as two nodes do. */
export const testMasterKey = randomBytes(32)

/** The real app in this process, on a free port. */
export const startBroker = async ({
  db,
  baseUrl: publicUrl,
  clock = systemClock,
  logger = createLogger('silent'),
  trustedProxies = [],
}: {
  db: Database
  /** What the world sees, where something terminates TLS in front. */
  baseUrl?: string
  clock?: Clock
  logger?: Logger
  trustedProxies?: string[]
}): Promise<TestBroker & { port: number }> => {
  const port = await freePort()
  const baseUrl = publicUrl ?? `http://localhost:${port}`
  const services = createServices({
    baseUrl,
    masterKey: testMasterKey,
    outboundAllowLoopback: true,
    clock,
    logger,
  })
  const ctx: Ctx = { db, actor: { type: 'system' }, requestId: 'test' }
  await services.keys.ensure(ctx)
  const app = createApp({
    config: { baseUrl, trustedProxies, securityContact: undefined },
    db,
    services,
    logger,
    observe: () => undefined,
  })
  const server = createServer(app.callback())
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    baseUrl,
    services,
    ctx,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await services.secondOpinion.close()
      await services.outbound.close()
    },
  }
}

export type BrokerProcess = {
  port: number
  managementPort: number
  child: ChildProcess
  /** Everything it has logged so far. */
  log: () => string
  /** Resolves with the exit code. */
  exited: Promise<number | null>
}

/** A broker in a process of its own, as `portico serve` runs it; several may share a database and a base URL. */
export const spawnBroker = async (environment: Record<string, string>): Promise<BrokerProcess> => {
  const [port, managementPort] = [await freePort(), await freePort()]
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/portico.ts', 'serve'], {
    env: {
      PATH: process.env.PATH,
      PORTICO_BASE_URL: `http://localhost:${port}`,
      PORTICO_MASTER_KEY: testMasterKey.toString('base64'),
      PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'on',
      ...environment,
      PORTICO_PORT: String(port),
      PORTICO_MANAGEMENT_PORT: String(managementPort),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  await new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`
      if (line.includes('"msg":"ready"')) resolve()
    })
    exited.then((code) => reject(new Error(`the broker ended with ${code} before it was ready: ${output}`)))
  })
  return { port, managementPort, child, log: () => output, exited }
}
