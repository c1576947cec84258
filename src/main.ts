/**
 * The process: configuration > database > services > app > listeners > signals. Owns no table. Invariants: it does not
 * serve on a database that would not keep tenants apart; it stops taking work before it stops working.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createApp } from './app.ts'
import { type Config, isProduction } from './config/schema.ts'
import { systemClock } from './core/clock.ts'
import type { Actor, Ctx } from './core/ctx.ts'
import { loadMasterKey } from './crypto/master-key.ts'
import { attachDatabase } from './db/attach.ts'
import type { Database } from './db/pool.ts'
import { startSweeping } from './db/sweep.ts'
import { createManagement } from './http/management.ts'
import { createServices, type Services } from './services.ts'

/** Well under the 30 s that most orchestrators wait before they kill. */
const DRAIN_MS = 20_000
const READINESS_TIMEOUT_MS = 2_000
/** How long a proxy may take to see that we are not ready; whoever it still sends us until then is let in. */
const STILL_ACCEPTING_MS = 2_000

export type Installation = {
  db: Database
  services: Services
  /** A context without a tenant, for an actor that is not a request. */
  contextFor: (actor: Actor, requestId: string) => Ctx
  close: () => Promise<void>
}

/** Database and services, for the server and for the CLI alike. */
export const openInstallation = async (config: Config, logger: Logger): Promise<Installation> => {
  const masterKey = loadMasterKey(config)
  const { db, close } = await attachDatabase(config)
  const services = createServices({
    baseUrl: config.baseUrl,
    masterKey,
    outboundAllowLoopback: config.outboundAllowLoopback,
    samlSecondOpinion: config.samlSecondOpinion,
    clock: systemClock,
    logger,
  })
  const contextFor = (actor: Actor, requestId: string): Ctx => ({ db, actor, requestId })
  return {
    db,
    services,
    contextFor,
    close: async () => {
      await services.secondOpinion.close()
      await services.outbound.close()
      await close()
    },
  }
}

const listen = (server: Server, port: number, address: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () => resolve((server.address() as AddressInfo).port))
  })

const databaseAnswers = async (db: Database): Promise<boolean> => {
  const asked = db.raw('select 1').then(
    () => true,
    () => false,
  )
  return Promise.race([asked, sleep(READINESS_TIMEOUT_MS, false, { ref: false })])
}

export type Serving = {
  port: number
  managementPort: number
  installation: Installation
  /** Not ready, no new connections, requests under way finish, then everything closes; at most 25 s. */
  stop: () => Promise<void>
}

/** Starts serving. @throws AppError where the configuration or the database forbids it */
export const serve = async (config: Config, logger: Logger): Promise<Serving> => {
  const installation = await openInstallation(config, logger)
  const { db, services, contextFor } = installation
  const ctx = contextFor({ type: 'system' }, 'start')
  await services.keys.ensure(ctx)
  // A wrong master key would let everything start and every secret fail later.
  await services.keys.current(ctx)
  let draining = false
  const management = createManagement({ isReady: async () => !draining && databaseAnswers(db) })
  const app = createApp({ config, db, services, logger, observe: management.observe })
  const server = createServer(app.callback())
  server.headersTimeout = 10_000
  server.requestTimeout = 30_000
  server.keepAliveTimeout = 65_000
  const port = await listen(server, config.port, config.listenAddress)
  const managementPort = await listen(management.server, config.managementPort, config.listenAddress)

  const stopSweeping = startSweeping(db, logger)

  let stopped: Promise<void> | undefined
  const drain = async (): Promise<void> => {
    draining = true
    stopSweeping()
    // Closing at once would reset the connections that wait in the kernel for us to accept them.
    if (isProduction(config)) await sleep(STILL_ACCEPTING_MS)
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    // A kept-alive connection turns idle only after its answer, so it is looked for until none is left.
    const reaper = setInterval(() => server.closeIdleConnections(), 100)
    await Promise.race([closed, sleep(DRAIN_MS, undefined, { ref: false })])
    clearInterval(reaper)
    server.closeAllConnections()
    management.server.close()
    management.server.closeAllConnections()
    await installation.close()
  }
  const stop = (): Promise<void> => {
    stopped ??= drain()
    return stopped
  }
  return { port, managementPort, installation, stop }
}

/** `portico serve`: serves until told to stop. A defect that nobody caught ends the process, loudly and non-zero. */
export const run = async (config: Config, logger: Logger): Promise<void> => {
  const die = (error: unknown): never => {
    logger.fatal({ err: error }, 'uncaught')
    process.exit(1)
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
  const serving = await serve(config, logger)
  const finish = (signal: string) => {
    logger.info({ signal }, 'draining')
    serving.stop().then(() => process.exit(0), die)
  }
  process.once('SIGTERM', () => finish('SIGTERM'))
  process.once('SIGINT', () => finish('SIGINT'))
  logger.info({ url: config.baseUrl, port: serving.port, managementPort: serving.managementPort }, 'ready')
}
