import { readFileSync } from 'node:fs'
import { AppError } from '../core/errors.ts'
import { type Config, isProduction, toConfig, type Values, type Variable, variables } from './schema.ts'

type Environment = Readonly<Record<string, string | undefined>>

const entries = Object.entries(variables) as [string, Variable][]
const secretNames = new Set(entries.filter(([, v]) => v.secret).map(([name]) => name))
const known = new Set([...entries.map(([name]) => name), ...[...secretNames].map((name) => `${name}_FILE`)])

type Raw = { value: string | undefined } | { fault: string }

/** The raw value of a variable: itself, or the trimmed content of the file that `<NAME>_FILE` names. */
const rawValue = (env: Environment, name: string): Raw => {
  const direct = env[name] === '' ? undefined : env[name]
  const file = secretNames.has(name) ? env[`${name}_FILE`] : undefined
  if (!file) return { value: direct }
  if (direct !== undefined) return { fault: `${name} and ${name}_FILE are both set; keep one.` }
  try {
    return { value: readFileSync(file, 'utf8').trim() }
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    return {
      fault: `${name}_FILE cannot be read (${reason}): ${file}. Example: /run/secrets/${name.toLowerCase()}`,
    }
  }
}

type Reading = { values: Partial<Values>; faults: string[] }

/** Every variable by itself; one that has a fault has no value. */
const readVariables = (env: Environment): Reading => {
  const values: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [name, { schema, example }] of entries) {
    const raw = rawValue(env, name)
    const parsed = 'fault' in raw ? undefined : schema.safeParse(raw.value)
    if (parsed?.success) values[name] = parsed.data
    else if (parsed) {
      const reasons = parsed.error.issues.map((issue) => issue.message).join('; ')
      faults.push(`${name} ${reasons}. Example: ${example}`)
    } else if ('fault' in raw) faults.push(raw.fault)
  }
  return { values: values as Partial<Values>, faults }
}

const unknownVariables = (env: Environment): string[] =>
  Object.keys(env)
    .filter((name) => name.startsWith('PORTICO_') && !known.has(name))
    .map((name) => `${name} is not a variable Portico knows; docs/configuration.md lists them.`)

/** What variables demand of one another, as far as each of them could be read. */
const crossChecks = (values: Partial<Values>): string[] => {
  // Present and undefined: not set. Absent: has a fault of its own, which is said already.
  const isUnset = (name: keyof Values): boolean => name in values && values[name] === undefined
  const production = isProduction({ baseUrl: values.PORTICO_BASE_URL ?? '' })
  const checks: [boolean, string][] = [
    [
      production && isUnset('DATABASE_URL'),
      `DATABASE_URL is missing; with an https base URL the embedded database is refused. Example: ${variables.DATABASE_URL.example}`,
    ],
    [
      values.DATABASE_URL !== undefined && isUnset('PORTICO_MASTER_KEY'),
      'PORTICO_MASTER_KEY_FILE is missing; with your own database you keep the master key. Make one with: openssl rand -base64 32',
    ],
    [
      production && values.PORTICO_OUTBOUND_ALLOW_LOOPBACK === true,
      'PORTICO_OUTBOUND_ALLOW_LOOPBACK must be off with an https base URL. Example: off',
    ],
  ]
  return checks.filter(([wrong]) => wrong).map(([, sentence]) => sentence)
}

/**
 * Reads and validates the environment once.
 * @throws AppError `invalid`/`configuration`, whose message lists every fault: variable, what is wrong, an example
 */
export const loadConfig = (env: Environment): Config => {
  const { values, faults: own } = readVariables(env)
  const faults = [...unknownVariables(env), ...own, ...crossChecks(values)]
  if (faults.length === 0) return toConfig(values as Values)
  throw new AppError(
    'invalid',
    'configuration',
    `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n${faults.map((f) => `  - ${f}`).join('\n')}`,
  )
}
