/**
 * `npm run bench -- <name>… | all [--json] [--seconds N] [--rounds N] [--concurrency N] [--profile] [--write]`
 * Every figure is one of a pair: the subject and its peer on the same PostgreSQL, in turns, in one run.
 */
import { mkdirSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { createSigningIdentity } from '../src/demo/saml-certificate.ts'
import { type Benchmark, benchmarks } from './benchmarks.ts'
import type { Contender, Surroundings } from './contenders/contender.ts'
import { build, installPeers } from './harness/build.ts'
import { type Comparison, compare, measureWindow, type Plan } from './harness/compare.ts'
import { startDatabase } from './harness/database.ts'
import { type IdentityProvider, openIdentityProvider } from './harness/identity-provider.ts'
import { readProfile } from './harness/profile.ts'
import { type Result, toText, writePage } from './harness/report.ts'

const POOL_SIZE = 10
const BENCH_DIR = import.meta.dirname
const PAGE = join(BENCH_DIR, '..', 'docs', 'benchmarks.md')

const say = (line: string): void => console.error(line)

const positive = (name: string, value: string): number => {
  const number = Number(value)
  if (Number.isInteger(number) && number > 0) return number
  throw new Error(`--${name} wants a whole number above 0, not “${value}”`)
}

const readArguments = () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '5' },
      concurrency: { type: 'string', default: '16' },
      profile: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  })
  const names = benchmarks.map(({ name }) => name)
  const stranger = positionals.find((name) => name !== 'all' && !names.includes(name))
  if (positionals.length === 0 || stranger !== undefined) {
    throw new Error(`name benchmarks to run: ${[...names, 'all'].join(', ')}`)
  }
  const plan: Plan = {
    seconds: positive('seconds', values.seconds),
    rounds: positive('rounds', values.rounds),
    concurrency: positive('concurrency', values.concurrency),
  }
  return {
    plan,
    json: values.json,
    profile: values.profile,
    write: values.write,
    chosen: benchmarks.filter(({ name }) => positionals.includes('all') || positionals.includes(name)),
  }
}

/** A window of its own after the others, so that the profiler's cost is in no figure. */
const takeProfile = async (
  benchmark: Benchmark,
  subject: Contender,
  around: Surroundings,
  plan: Plan,
): Promise<NonNullable<Result['profile']>> => {
  const folder = join(BENCH_DIR, 'profiles')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${benchmark.name}.cpuprofile`)
  await subject.server.ask('profile-start')
  await measureWindow(subject, around.database, plan, 1)
  await subject.server.ask('profile-stop', path)
  const { functions, packages } = readProfile(path)
  return {
    path: relative(process.cwd(), path),
    functions: functions.slice(0, 60),
    packages: packages.slice(0, 30),
  }
}

const responseBytes = (idp: IdentityProvider): number => {
  const url = 'http://localhost:3000/saml/con_00000000000000000000000000'
  const request = { acsUrl: `${url}/acs`, audience: `${url}/metadata`, inResponseTo: '_'.repeat(41) }
  const encoded = openIdentityProvider(idp)({ ...request, email: 'person100@bench.example' })
  return Buffer.from(encoded, 'base64').length
}

const targetsOf = (benchmark: Benchmark, comparison: Comparison): Result['targets'] =>
  benchmark.targets.map(({ text, wanted, measured }) => ({
    text: text(comparison),
    wanted,
    ...measured(comparison),
  }))

const runOne = async (
  benchmark: Benchmark,
  around: Surroundings,
  { plan, profile }: { plan: Plan; profile: boolean },
): Promise<Result> => {
  say(`${benchmark.name}: starting and preparing …`)
  const busy = loadavg()[0] ?? 0
  const subject = await benchmark.subject(around)
  const contenders = [subject]
  for (const peer of benchmark.peers) contenders.push(await peer(around))
  const comparison = await compare(contenders, around.database, plan, say)
  const profiled = profile ? await takeProfile(benchmark, subject, around, plan) : undefined
  await Promise.all(contenders.map(({ close }) => close()))
  return {
    benchmark: benchmark.name,
    date: new Date().toISOString().slice(0, 10),
    machine: {
      busy,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      node: process.versions.node,
      postgres: around.database.version,
      durable: around.database.durable,
    },
    plan,
    sizes: { people: around.people, samlResponseBytes: responseBytes(around.idp) },
    comparison,
    targets: targetsOf(benchmark, comparison),
    ...(profiled && { profile: profiled }),
  }
}

const main = async (): Promise<void> => {
  const wanted = readArguments()
  const peers = installPeers(BENCH_DIR, say)
  say('building into bench/dist …')
  const built = build(BENCH_DIR)
  const database = await startDatabase()
  process.once('SIGINT', () => void database.stop().finally(() => process.exit(130)))
  const results: Result[] = []
  try {
    const signing = await createSigningIdentity('Bench IdP')
    for (const benchmark of wanted.chosen) {
      const around: Surroundings = {
        database,
        built,
        peers,
        idp: { entityId: 'https://idp.bench.example', ssoUrl: 'https://idp.bench.example/sso', signing },
        // Each of those at work at once is another person.
        people: Math.max(benchmark.people, wanted.plan.concurrency),
        concurrency: wanted.plan.concurrency,
        poolSize: POOL_SIZE,
      }
      const result = await runOne(benchmark, around, wanted)
      results.push(result)
      if (wanted.write) writePage(PAGE, result)
      if (!wanted.json) console.log(toText(benchmark, result))
    }
  } finally {
    await database.stop()
  }
  if (wanted.json) console.log(JSON.stringify({ results }, null, 2))
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  },
)
