import { readFileSync } from 'node:fs'
import ipaddr from 'ipaddr.js'
import { AppError } from '../core/errors.ts'
import { type Config, isProduction, toConfig, type Values, type Variable, variables } from './schema.ts'

type Environment = Readonly<Record<string, string | undefined>>

const entries = Object.entries(variables) as [string, Variable][]
const secretNames = new Set(entries.filter(([, v]) => v.secret).map(([name]) => name))
const known = new Set([...entries.map(([name]) => name), ...[...secretNames].map((name) => `${name}_FILE`)])

/** The raw value of a variable: itself, or the trimmed content of the file that `<NAME>_FILE` names. */
const rawValue = (env: Environment, name: string, faults: string[]): string | undefined => {
  const direct = env[name] === '' ? undefined : env[name]
  const file = secretNames.has(name) ? env[`${name}_FILE`] : undefined
  if (!file) return direct
  if (direct !== undefined) {
    faults.push(`${name} and ${name}_FILE are both set; keep one.`)
    return undefined
  }
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    faults.push(`${name}_FILE cannot be read (${reason}): ${file}`)
    return undefined
  }
}

const crossChecks = (config: Config): string[] => {
  const faults: string[] = []
  for (const cidr of config.trustedProxies) {
    if (!ipaddr.isValidCIDR(cidr)) {
      faults.push(`PORTICO_TRUSTED_PROXIES has “${cidr}”, which is not a CIDR. Example: 10.0.0.0/8`)
    }
  }
  if (isProduction(config) && config.databaseUrl === undefined) {
    faults.push(
      `DATABASE_URL is missing; with an https base URL the embedded database is refused. Example: ${variables.DATABASE_URL.example}`,
    )
  }
  if (config.databaseUrl !== undefined && config.masterKey === undefined) {
    faults.push(
      'PORTICO_MASTER_KEY_FILE is missing; with your own database you keep the master key. Make one with: openssl rand -base64 32',
    )
  }
  if (isProduction(config) && config.outboundAllowLoopback) {
    faults.push('PORTICO_OUTBOUND_ALLOW_LOOPBACK must be off with an https base URL.')
  }
  return faults
}

/**
 * Reads and validates the environment once.
 * @throws AppError `invalid`/`configuration`, whose message lists every fault: variable, what is wrong, an example
 */
export const loadConfig = (env: Environment): Config => {
  const faults: string[] = []
  for (const name of Object.keys(env)) {
    if (name.startsWith('PORTICO_') && !known.has(name)) {
      faults.push(`${name} is not a variable Portico knows; see docs/configuration.md.`)
    }
  }
  const values: Record<string, unknown> = {}
  for (const [name, variable] of entries) {
    const parsed = variable.schema.safeParse(rawValue(env, name, faults))
    if (parsed.success) values[name] = parsed.data
    else {
      const reason = parsed.error.issues.map((issue) => issue.message).join('; ')
      faults.push(`${name}: ${reason}. Example: ${variable.example}`)
    }
  }
  if (faults.length === 0) {
    const config = toConfig(values as Values)
    faults.push(...crossChecks(config))
    if (faults.length === 0) return config
  }
  throw new AppError(
    'invalid',
    'configuration',
    `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n${faults.map((f) => `  - ${f}`).join('\n')}`,
  )
}
