/**
 * The whole configuration: one zod schema over the environment. It owns no table and touches nothing;
 * docs/configuration.md is generated from it, and an unknown `PORTICO_*` variable is a fault, because a
 * misspelt switch that silently does nothing is how installations end up open.
 */
import { z } from 'zod'

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]'])

const isLoopbackHost = (host: string): boolean => LOOPBACK_HOSTS.has(host) || host.endsWith('.localhost')

/** Digits only: `0x10`, `1e3` and ` 7 ` are numbers to JavaScript and slips of the pen here. */
const wholeNumber = (from: number, to: number) => {
  const fault = `must be a whole number from ${from} to ${to}`
  return z
    .string()
    .regex(/^\d{1,9}$/, fault)
    .transform(Number)
    .refine((value) => value >= from && value <= to, fault)
}

const port = wholeNumber(0, 65535)

const oneOf = <const T extends readonly string[]>(words: T) =>
  z.enum(words, `must be one of ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`)

const baseUrl = z.string().transform((value, ctx) => {
  const fail = (message: string) => {
    ctx.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!URL.canParse(value)) return fail('is not a URL')
  const url = new URL(value)
  if (url.pathname !== '/' || url.search || url.hash || url.username || url.password) {
    return fail('must be an origin: scheme, host and port only')
  }
  if (url.protocol === 'https:') return url.origin
  if (url.protocol === 'http:' && isLoopbackHost(url.hostname)) return url.origin
  return fail('must be https; http is accepted for localhost only')
})

const postgresUrl = z
  .string()
  .refine((value) => /^postgres(ql)?:\/\//.test(value) && URL.canParse(value), 'is not a postgres:// URL')

const cidr = z.union([z.cidrv4(), z.cidrv6()])

const cidrList = z.string().transform((value, ctx) => {
  const cidrs = value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part.length > 0)
  for (const part of cidrs) {
    if (!cidr.safeParse(part).success)
      ctx.addIssue({ code: 'custom', message: `has “${part}”, which is not a CIDR` })
  }
  return cidrs
})

const onOff = oneOf(['on', 'off']).transform((value) => value === 'on')

type Variable = {
  schema: z.ZodType
  /** One sentence for docs/configuration.md. */
  about: string
  example: string
  /** How the default reads in the reference, where one exists. */
  default?: string
  /** May come from a file named by `<NAME>_FILE`; such values are never printed. */
  secret?: boolean
}

export const variables = {
  DATABASE_URL: {
    schema: postgresUrl.optional(),
    about:
      'PostgreSQL 15 or newer, as the role `portico_app`. Unset: an embedded PostgreSQL is started, for trying and developing only.',
    example: 'postgres://portico_app:…@db.internal:5432/portico',
    default: 'embedded',
    secret: true,
  },
  DATABASE_MIGRATION_URL: {
    schema: postgresUrl.optional(),
    about: 'The same database as the role `portico_owner`; needed by `portico migrate` only.',
    example: 'postgres://portico_owner:…@db.internal:5432/portico',
    secret: true,
  },
  PORTICO_BASE_URL: {
    schema: baseUrl.default('http://localhost:3000'),
    about: 'The public origin of the broker: issuer, entity IDs, redirect and ACS URLs start with it.',
    example: 'https://login.example.com',
    default: '`http://localhost:3000`',
  },
  PORTICO_PORT: {
    schema: port.default(3000),
    about: 'TCP port of the public listener; 0 picks a free one.',
    example: '3000',
    default: '`3000`',
  },
  PORTICO_MANAGEMENT_PORT: {
    schema: port.default(3001),
    about: 'TCP port for `/health/live`, `/health/ready` and `/metrics`; keep it inside. 0 picks a free one.',
    example: '3001',
    default: '`3001`',
  },
  PORTICO_LISTEN_ADDRESS: {
    schema: z.union([z.ipv4(), z.ipv6()], 'is not an IP address').default('127.0.0.1'),
    about: 'Address both listeners bind to. In a container: `0.0.0.0`.',
    example: '0.0.0.0',
    default: '`127.0.0.1`',
  },
  PORTICO_DATA_DIR: {
    schema: z.string().min(1).default('.portico'),
    about: 'Where the embedded database and the master key made with it live.',
    example: '/var/lib/portico',
    default: '`.portico`',
  },
  PORTICO_MASTER_KEY: {
    schema: z
      .string()
      .regex(/^[A-Za-z0-9+/]{43}=$/, 'must be 32 random bytes in base64')
      .optional(),
    about:
      'The key-encryption key: 32 random bytes in base64, under which every organisation key is wrapped. Usually given as `PORTICO_MASTER_KEY_FILE`. Made on first start with the embedded database, demanded with any other.',
    example: 'the output of: openssl rand -base64 32',
    secret: true,
  },
  PORTICO_TRUSTED_PROXIES: {
    schema: cidrList.default([]),
    about: 'Comma-separated CIDRs whose X-Forwarded-For is believed. Nobody’s is, by default.',
    example: '10.0.0.0/8,fd00::/8',
    default: 'none',
  },
  PORTICO_LOG_LEVEL: {
    schema: oneOf(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
    about: 'pino level of the JSON log on stdout.',
    example: 'info',
    default: '`info`',
  },
  PORTICO_OUTBOUND_ALLOW_LOOPBACK: {
    schema: onOff.default(false),
    about:
      'Lets outbound requests reach http and loopback addresses, for IdPs on a developer’s own machine. Refused with an https base URL.',
    example: 'off',
    default: '`off`',
  },
  PORTICO_SAML_SECOND_OPINION: {
    schema: onOff.default(true),
    about:
      'Every SAML response is read by two readers that must agree. `off` leaves one: faster, and without a net under a fault in it (docs/decisions/0002).',
    example: 'on',
    default: '`on`',
  },
  PORTICO_SECURITY_CONTACT: {
    schema: z
      .string()
      .refine(
        (value) => URL.canParse(value) && /^(mailto|https):/.test(value),
        'must be a mailto: or https: address',
      )
      .optional(),
    about:
      'Where security researchers report, for `/.well-known/security.txt` (RFC 9116). Unset: there is no such page.',
    example: 'mailto:security@example.com',
  },
  PORTICO_DATABASE_POOL_SIZE: {
    schema: wholeNumber(1, 200).default(10),
    about: 'Connections one process holds to PostgreSQL at most.',
    example: '10',
    default: '`10`',
  },
} as const satisfies Record<string, Variable>

export type VariableName = keyof typeof variables

type Values = { [N in VariableName]: z.output<(typeof variables)[N]['schema']> }

/** The configuration as the process uses it: validated, frozen. */
export type Config = Readonly<{
  databaseUrl: string | undefined
  databaseMigrationUrl: string | undefined
  baseUrl: string
  port: number
  managementPort: number
  listenAddress: string
  dataDir: string
  /** 32 bytes, base64; undefined means: made in the data directory (embedded database only). */
  masterKey: string | undefined
  trustedProxies: readonly string[]
  logLevel: 'silent' | 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
  outboundAllowLoopback: boolean
  samlSecondOpinion: boolean
  securityContact: string | undefined
  databasePoolSize: number
}>

export const toConfig = (values: Values): Config =>
  Object.freeze({
    databaseUrl: values.DATABASE_URL,
    databaseMigrationUrl: values.DATABASE_MIGRATION_URL,
    baseUrl: values.PORTICO_BASE_URL,
    port: values.PORTICO_PORT,
    managementPort: values.PORTICO_MANAGEMENT_PORT,
    listenAddress: values.PORTICO_LISTEN_ADDRESS,
    dataDir: values.PORTICO_DATA_DIR,
    masterKey: values.PORTICO_MASTER_KEY,
    trustedProxies: Object.freeze([...values.PORTICO_TRUSTED_PROXIES]),
    logLevel: values.PORTICO_LOG_LEVEL,
    outboundAllowLoopback: values.PORTICO_OUTBOUND_ALLOW_LOOPBACK,
    samlSecondOpinion: values.PORTICO_SAML_SECOND_OPINION,
    securityContact: values.PORTICO_SECURITY_CONTACT,
    databasePoolSize: values.PORTICO_DATABASE_POOL_SIZE,
  })

/** True where the public origin is https, which is what makes an installation a real one. */
export const isProduction = (config: Pick<Config, 'baseUrl'>): boolean => config.baseUrl.startsWith('https:')

export type { Values, Variable }
