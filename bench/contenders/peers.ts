import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../src/db/embedded/cluster.ts'
import type { OidcProviderSetup } from '../drivers/oidc-provider.ts'
import { startChild } from '../harness/messages.ts'
import type { DriverName } from '../load.ts'
import type { OidcProviderOptions } from '../oidc-provider.ts'
import type { PolisOptions } from '../polis.ts'
import type { Contender, Surroundings } from './contender.ts'

const versionOf = (peers: string, name: string): string =>
  (JSON.parse(readFileSync(join(peers, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
    .version

export const startPolis = async ({
  database,
  built,
  peers,
  idp,
  people,
}: Surroundings): Promise<Contender> => {
  const server = startChild(join(built, 'polis.js'))
  const databaseUrl = await database.createFor('polis')
  await server.ask('start', { peers, databaseUrl, idp, people } satisfies PolisOptions)
  return {
    name: 'Polis',
    version: versionOf(peers, '@boxyhq/saml-jackson'),
    by: 'library',
    database: 'polis',
    server,
    drive: (window) => server.ask('drive', window),
    close: server.stop,
  }
}

/** @param likePortico ES256 and JWT access tokens; else as it comes: an RS256 ID token, opaque access tokens, stored */
export const startOidcProvider = async (
  around: Surroundings,
  driver: DriverName,
  { likePortico }: { likePortico: boolean },
): Promise<Contender> => {
  const { database, built, peers, people, concurrency, poolSize } = around
  const name = likePortico ? 'oidc_provider_es256' : 'oidc_provider'
  const port = await freePort()
  const client = {
    clientId: 'bench-app',
    clientSecret: randomBytes(32).toString('base64url'),
    redirectUri: 'https://app.bench.example/callback',
  }
  const server = startChild(join(built, 'oidc-provider.js'))
  await server.ask('start', {
    peers,
    port,
    databaseUrl: await database.createFor(name),
    poolSize,
    client,
    offline: driver === 'oidcProviderRefresh',
    likePortico,
  } satisfies OidcProviderOptions)
  const load = startChild(join(built, 'load.js'))
  const setup: OidcProviderSetup = { origin: `http://127.0.0.1:${port}`, client, people, concurrency }
  await load.ask('prepare', { name: driver, setup })
  return {
    name: 'oidc-provider',
    variant: likePortico ? 'tuned like Portico' : 'as it comes',
    version: versionOf(peers, 'oidc-provider'),
    by: 'HTTP',
    database: name,
    server,
    load,
    drive: (window) => load.ask('drive', window),
    close: async () => {
      await load.stop()
      await server.stop()
    },
  }
}
