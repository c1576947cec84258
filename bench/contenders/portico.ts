import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { systemClock } from '../../src/core/clock.ts'
import type { Ctx } from '../../src/core/ctx.ts'
import { toId } from '../../src/core/ids.ts'
import { freePort } from '../../src/db/embedded/cluster.ts'
import { type Database, openDatabase } from '../../src/db/pool.ts'
import { forOrg } from '../../src/db/transaction.ts'
import { createLogger } from '../../src/http/log.ts'
import { createServices } from '../../src/services.ts'
import type { PorticoSetup } from '../drivers/portico.ts'
import { metadataOf } from '../harness/identity-provider.ts'
import { type Child, startChild } from '../harness/messages.ts'
import type { DriverName } from '../load.ts'
import type { Contender, Surroundings } from './contender.ts'

const DOMAIN = 'bench.example'
const REDIRECT_URI = 'http://localhost:9999/callback'

type Installed = Pick<PorticoSetup, 'client' | 'connection'>

/** An organisation with a verified domain, an enabled SAML connection to the IdP, and an app. */
const install = async (
  db: Database,
  { baseUrl, masterKey, idp }: { baseUrl: string; masterKey: Buffer; idp: Surroundings['idp'] },
): Promise<Installed> => {
  const { organisations, connections, clients, outbound } = createServices({
    baseUrl,
    masterKey,
    outboundAllowLoopback: true,
    clock: systemClock,
    logger: createLogger('silent'),
  })
  const ctx: Ctx = { db, actor: { type: 'system' }, requestId: 'bench' }
  const orgCtx = forOrg(ctx, (await organisations.create(ctx, { name: DOMAIN })).id)
  await organisations.addDomain(orgCtx, { name: DOMAIN, verified: true })
  const draft = await connections.create(orgCtx, { type: 'saml', name: DOMAIN })
  await connections.importMetadata(orgCtx, draft.id, metadataOf(idp))
  await connections.enable(orgCtx, draft.id)
  await organisations.assignDomain(orgCtx, DOMAIN, draft.id)
  const { client, clientSecret } = await clients.create(ctx, {
    name: 'Bench app',
    redirectUris: [REDIRECT_URI],
  })
  await outbound.close()
  return {
    connection: draft.urls as Installed['connection'],
    client: { clientId: toId('cli', client.id), clientSecret, redirectUri: REDIRECT_URI },
  }
}

const isReady = async (managementPort: number): Promise<boolean> => {
  try {
    return (await fetch(`http://127.0.0.1:${managementPort}/health/ready`)).ok
  } catch {
    return false
  }
}

const untilReady = async (managementPort: number): Promise<void> => {
  const deadline = Date.now() + 20_000
  while (!(await isReady(managementPort))) {
    if (Date.now() > deadline) throw new Error('Portico was not ready within 20 s')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const version = (built: string): string =>
  (JSON.parse(readFileSync(join(built, '..', '..', '..', 'package.json'), 'utf8')) as { version: string })
    .version

/** `portico serve` as it ships, built, in a process of its own; and a load process before it. */
export const startPortico = async (around: Surroundings, driver: DriverName): Promise<Contender> => {
  const { database, built, idp, people, concurrency } = around
  const urls = await database.recreatePortico()
  const [port, managementPort] = [await freePort(), await freePort()]
  const baseUrl = `http://localhost:${port}`
  const masterKey = randomBytes(32)
  const db = openDatabase({ url: urls.app, size: 2 })
  const installed = await install(db, { baseUrl, masterKey, idp })
  await db.destroy()
  const server: Child = startChild(join(built, '..', 'src', 'cli', 'portico.js'), {
    args: ['serve'],
    execArgv: ['--import', pathToFileURL(join(built, 'preload-probe.js')).href],
    env: {
      DATABASE_URL: urls.app,
      PORTICO_BASE_URL: baseUrl,
      PORTICO_PORT: String(port),
      PORTICO_MANAGEMENT_PORT: String(managementPort),
      PORTICO_MASTER_KEY: masterKey.toString('base64'),
      PORTICO_DATABASE_POOL_SIZE: String(around.poolSize),
    },
  })
  await untilReady(managementPort)
  const load = startChild(join(built, 'load.js'))
  const setup: PorticoSetup = {
    ...installed,
    origin: `http://127.0.0.1:${port}`,
    idp,
    domain: DOMAIN,
    people,
    concurrency,
  }
  await load.ask('prepare', { name: driver, setup })
  return {
    name: 'Portico',
    version: version(built),
    by: 'HTTP',
    database: 'portico',
    server,
    load,
    drive: (window) => load.ask('drive', window),
    close: async () => {
      await load.stop()
      await server.stop()
    },
  }
}
