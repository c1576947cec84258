import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { type Variable, variables } from '../../src/config/schema.ts'
import { roleStatements } from '../../src/db/roles.ts'
import { createManagement } from '../../src/http/management.ts'
import { readCompose, readDockerfile, type Service, texts } from './compose.ts'

const run = promisify(execFile)
const compose = readCompose()
const dockerfile = readDockerfile()
const services = Object.entries(compose.services)
const { proxy, database } = compose.services as { proxy: Service; database: Service }
const ours = services.filter(([, service]) => service.build !== undefined)
const brokers = ours.filter(([, service]) => service.command === undefined)

const known = new Set(
  Object.entries(variables as Record<string, Variable>).flatMap(([name, { secret }]) =>
    secret ? [name, `${name}_FILE`] : [name],
  ),
)

describe('the secrets that deploy/make-secrets.sh makes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portico-secrets-'))
  const secret = (name: string) => readFileSync(join(folder, name), 'utf8').trim()

  beforeAll(() => run('deploy/make-secrets.sh', [folder]))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** The service's environment as its process would see it. */
  const environmentOf = ({ environment }: Service): Record<string, string> =>
    Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [
        name,
        String(value)
          .replace(/^\$\{PORTICO_BASE_URL:\?.*\}$/, 'https://login.example.com')
          .replace(/^\$\{\w+:-\}$/, '')
          .replace('/run/secrets', folder),
      ]),
    )

  test('are those that the compose file names, but for the certificate, and nobody else can reach them', () => {
    const named = Object.values(compose.secrets).map(({ file }) => file.replace('deploy/secrets/', ''))
    expect([...readdirSync(folder), 'tls.pem'].sort()).toEqual(named.sort())
    expect(statSync(folder).mode & 0o777).toBe(0o700)
  })

  test('stay as they are when the script runs again', async () => {
    const before = readdirSync(folder).map(secret)
    await run('deploy/make-secrets.sh', [folder])
    expect(readdirSync(folder).map(secret)).toEqual(before)
  })

  test.each(ours)('give %s a configuration without a fault', (_, service) => {
    const config = loadConfig(environmentOf(service))
    const url = new URL(config.databaseUrl as string)
    expect(url).toMatchObject({ hostname: 'database', port: '5432', username: 'portico_app' })
    expect(url.pathname).toBe('/portico')
    expect(url.password).toBe(secret('database_app_password'))
  })

  test('let the migration run as the owner', () => {
    const config = loadConfig(environmentOf(compose.services.migrate as Service))
    const url = new URL(config.databaseMigrationUrl as string)
    expect(url).toMatchObject({ hostname: 'database', username: 'portico_owner' })
    expect(url.password).toBe(secret('database_owner_password'))
    for (const [, broker] of brokers)
      expect(Object.keys(broker.environment)).not.toContain('DATABASE_MIGRATION_URL_FILE')
  })
})

describe('docker-compose.yml', () => {
  test('runs two brokers, a migration, a database and a proxy', () => {
    expect(Object.keys(compose.services).sort()).toEqual([
      'broker-a',
      'broker-b',
      'database',
      'migrate',
      'proxy',
    ])
    expect(brokers).toHaveLength(2)
    expect(new Set(brokers.map(([, { hostname }]) => hostname)).size).toBe(2)
    expect(new Set(brokers.map(([, { environment }]) => environment.PORTICO_BASE_URL)).size).toBe(1)
  })

  test('names variables that the configuration knows', () => {
    for (const [, { environment }] of ours) {
      expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([])
    }
  })

  test.each(services)('gives %s no more than it needs', (name, service) => {
    expect(service.read_only).toBe(true)
    expect(service.cap_drop).toEqual(['ALL'])
    expect(service.security_opt).toEqual(['no-new-privileges:true'])
    if (name !== 'database') expect(service.cap_add).toBeUndefined()
    for (const power of ['privileged', 'network_mode', 'pid', 'ipc', 'userns_mode', 'devices', 'user']) {
      expect(service).not.toHaveProperty(power)
    }
    expect(service.volumes?.filter((volume) => volume.includes('docker.sock')) ?? []).toEqual([])
  })

  test.each(services)('names for %s only files, secrets, networks and services that exist', (_, service) => {
    for (const volume of service.volumes ?? []) {
      const source = volume.split(':')[0] as string
      expect(source.startsWith('./') ? existsSync(source) : source in compose.volumes, source).toBe(true)
    }
    const secrets = service.secrets ?? []
    expect(secrets.filter((secret) => !(secret in compose.secrets))).toEqual([])
    const wanted = Object.values(service.environment)
      .map(String)
      .filter((value) => value.startsWith('/run/secrets/'))
    for (const path of wanted) expect(secrets).toContain(path.replace('/run/secrets/', ''))
    const networks = Array.isArray(service.networks) ? service.networks : Object.keys(service.networks)
    expect(networks.filter((network) => !(network in compose.networks))).toEqual([])
    for (const needed of Object.keys(service.depends_on ?? {}))
      expect(compose.services).toHaveProperty(needed)
  })

  test('publishes the proxy alone, and the database has no way out', () => {
    expect(services.filter(([, { ports }]) => ports !== undefined).map(([name]) => name)).toEqual(['proxy'])
    const bind = String(proxy.environment.PROXY_BIND)
    expect(proxy.ports).toEqual([`443${bind}`])
    expect(database.networks).toEqual(['data'])
    expect(compose.networks.data?.internal).toBe(true)
  })

  test('gives the proxy the variables that its configuration reads, and the brokers’ own ports', () => {
    const text = readFileSync('deploy/haproxy.cfg', 'utf8')
    const read = new Set([...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name))
    expect(Object.keys(proxy.environment).sort()).toEqual([...read].sort())
    for (const [slot, name] of [
      ['NODE_A', 'broker-a'],
      ['NODE_B', 'broker-b'],
    ] as const) {
      const { environment } = compose.services[name] as Service
      expect(proxy.environment[slot]).toBe(`${name}:${environment.PORTICO_PORT}`)
      expect(proxy.environment[`${slot}_HEALTH_PORT`]).toBe(environment.PORTICO_MANAGEMENT_PORT)
    }
  })

  test('lets the brokers believe the proxy and nobody else', () => {
    const { front } = proxy.networks as Record<string, { ipv4_address: string }>
    const address = front?.ipv4_address as string
    for (const [, { environment }] of brokers) {
      expect(environment.PORTICO_TRUSTED_PROXIES).toBe(`${address}/32`)
    }
    const subnet = compose.networks.front?.ipam?.config[0]?.subnet as string
    expect(ipaddr.parse(address).match(ipaddr.parseCIDR(subnet))).toBe(true)
  })

  test('makes the roles with the statements of the broker itself', () => {
    const script = readFileSync('deploy/postgres/roles.sql', 'utf8')
    const statements = script
      .replaceAll(/^(--|\\).*\n/gm, '')
      .replaceAll(/:'(\w+)_password'/g, "'the $1 password'")
      .split(';')
      .map((statement) => statement.trim())
      .filter((statement) => statement !== '')
    expect(statements).toEqual([
      ...roleStatements({ owner: 'the owner password', app: 'the app password' }),
      'create database portico owner portico_owner',
    ])
    const init = readFileSync('deploy/postgres/init.sh', 'utf8')
    for (const [, name] of init.matchAll(/\/run\/secrets\/(\w+)/g)) expect(database.secrets).toContain(name)
    expect(database.volumes).toContain('./deploy/postgres/roles.sql:/etc/portico/roles.sql:ro')
    expect(init).toContain('--file=/etc/portico/roles.sql')
  })
})

describe('Dockerfile', () => {
  test('copies what exists, and .dockerignore lets it in', () => {
    const ignore = readFileSync('.dockerignore', 'utf8').split('\n')
    expect(ignore.filter((line) => line !== '' && !line.startsWith('#'))[0]).toBe('*')
    const sources = texts(dockerfile, 'COPY')
      .filter((text) => !text.startsWith('--from='))
      .flatMap((text) => text.split(' ').slice(0, -1))
    expect(sources.length).toBeGreaterThan(5)
    for (const source of sources) {
      const path = source.replace('./', '')
      expect(ignore).toContain(`!${path}`)
      expect(path.endsWith('*') || existsSync(path), path).toBe(true)
    }
  })

  test('runs the command that the build makes, as nobody special, on the ports of the schema', () => {
    expect(texts(dockerfile, 'USER')).toEqual(['node'])
    const [command] = texts(dockerfile, 'CMD')
    const [program, file = '', verb] = JSON.parse(command as string)
    expect([program, verb]).toEqual(['node', 'serve'])
    const { bin } = JSON.parse(readFileSync('package.json', 'utf8'))
    expect(file).toBe(bin.portico)
    expect(existsSync(file.replace(/^dist\//, '').replace(/\.js$/, '.ts'))).toBe(true)
    expect(compose.services.migrate?.command).toEqual([program, file, 'migrate', 'up'])
    const ports = [variables.PORTICO_PORT, variables.PORTICO_MANAGEMENT_PORT].map(({ schema }) =>
      schema.parse(undefined),
    )
    expect(texts(dockerfile, 'EXPOSE')).toEqual([ports.join(' ')])
  })

  test('sets variables that the configuration knows', () => {
    const set = [
      ...texts(dockerfile, 'ENV')
        .join(' ')
        .matchAll(/(\w+)=/g),
    ].map(([, name]) => name as string)
    expect(set).toContain('PORTICO_LISTEN_ADDRESS')
    expect(set.filter((name) => name !== 'NODE_ENV' && !known.has(name))).toEqual([])
  })

  test('finds a living broker healthy, and a dead one not', async () => {
    const [, check] = texts(dockerfile, 'HEALTHCHECK').join(' ').split(' CMD ')
    const [program, ...args] = JSON.parse((check ?? '').replace(/^CMD /, '')) as [string, ...string[]]
    expect(program).toBe('node')
    const { server } = createManagement({ isReady: async () => false })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const ask = () =>
      run(process.execPath, args, { env: { PORTICO_MANAGEMENT_PORT: String(port) } }).then(
        () => 'healthy',
        ({ code }) => `exit ${code}`,
      )
    // Alive although not ready: a broker that waits for its database is not to be restarted.
    expect(await ask()).toBe('healthy')
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    expect(await ask()).toBe('exit 1')
  })
})
