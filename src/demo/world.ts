import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { loadConfig } from '../config/load.ts'
import type { Ctx } from '../core/ctx.ts'
import { freePort } from '../db/embedded/cluster.ts'
import { type Serving, serve } from '../main.ts'
import type { Services } from '../services.ts'
import { type DemoApp, startDemoApp } from './app.ts'
import { type OidcIdp, startOidcIdp } from './oidc-idp.ts'
import { listenLocally, type Person } from './peers.ts'
import { type SamlIdp, startSamlIdp } from './saml-idp.ts'

const person = (id: string, given: string, family: string, domain: string): Person => ({
  id,
  email: `${given.toLowerCase()}@${domain}`,
  displayName: `${given} ${family}`,
  givenName: given,
  familyName: family,
  groups: ['everyone'],
})

export const alice = person('00u-alice', 'Alice', 'Arendt', 'acme.test')
export const bob = person('00u-bob', 'Bob', 'Babbage', 'acme-labs.test')
export const carol = person('00u-carol', 'Carol', 'Curie', 'globex.test')

/** Everything the demo needs, running: the broker, two IdPs, an app. */
export type World = {
  baseUrl: string
  managementUrl: string
  services: Services
  ctx: Ctx
  saml: SamlIdp
  oidc: OidcIdp
  app: DemoApp
  close: () => Promise<void>
}

const isFree = async (port: number): Promise<boolean> => {
  try {
    await (await listenLocally(port)).close()
    return true
  } catch {
    return false
  }
}

/** The port people remember, if nobody has it. */
const portNear = async (wanted: number | undefined): Promise<number> =>
  wanted !== undefined && (await isFree(wanted)) ? wanted : freePort()

type Closing = () => Promise<unknown>

/**
 * Starts the world on a database of its own, gone afterwards: the demo never touches an installation.
 * @param memorable use the well-known ports where they are free, for trying by hand
 * @throws AppError `unsupported`/`demo_peers_missing` where the development packages are not installed
 */
export const startWorld = async ({
  memorable,
  logger,
}: {
  memorable: boolean
  logger: Logger
}): Promise<World> => {
  const closings: Closing[] = []
  const close = async () => {
    for (const closing of closings.splice(0).reverse()) await closing()
  }
  const dataDir = mkdtempSync(join(tmpdir(), 'portico-demo-'))
  closings.push(async () => rmSync(dataDir, { recursive: true, force: true }))
  try {
    const started = await startParts(dataDir, memorable, logger, closings)
    return { ...started, close }
  } catch (error) {
    await close()
    throw error
  }
}

const startParts = async (dataDir: string, memorable: boolean, logger: Logger, closings: Closing[]) => {
  const port = await portNear(memorable ? 3000 : undefined)
  const managementPort = await portNear(memorable ? 3001 : undefined)
  const baseUrl = `http://localhost:${port}`
  const config = loadConfig({
    PORTICO_BASE_URL: baseUrl,
    PORTICO_PORT: String(port),
    PORTICO_MANAGEMENT_PORT: String(managementPort),
    PORTICO_DATA_DIR: dataDir,
    PORTICO_OUTBOUND_ALLOW_LOOPBACK: 'on',
  })
  const serving: Serving = await serve(config, logger)
  closings.push(serving.stop)
  const people = [alice, bob, carol]
  const saml = await startSamlIdp({ people, port: await portNear(memorable ? 3100 : undefined) })
  closings.push(saml.close)
  const oidc = await startOidcIdp({ people, port: await portNear(memorable ? 3200 : undefined) })
  closings.push(oidc.close)
  const app = await startDemoApp({ port: await portNear(memorable ? 3300 : undefined) })
  closings.push(app.close)
  const { services, contextFor } = serving.installation
  return {
    baseUrl,
    managementUrl: `http://localhost:${managementPort}`,
    services,
    ctx: contextFor({ type: 'cli' }, 'demo'),
    saml,
    oidc,
    app,
  }
}
