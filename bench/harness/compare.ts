/** Rounds of A, B, A, B: machines are noisy, so all meet the same noise and the medians count. */
import type { Contender } from '../contenders/contender.ts'
import { type Load, median } from './closed-loop.ts'
import type { BenchDatabase, Statement } from './database.ts'
import type { Sample } from './probe.ts'

const FIRST_WARM_UP_SECONDS = 4
const WARM_UP_SECONDS = 1

export type Figures = {
  name: string
  version: string
  by: Contender['by']
  variant: string | null
  /** Operations per second. */
  rate: number
  p50: number
  p95: number
  p99: number
  /** User and system time of the server process per operation. */
  cpuMs: number
  /** As much again by the process that makes the load; null where there is none of its own. */
  loadCpuMs: number | null
  statementsPerOperation: number
  peakRssMb: number
  /** Of the last round, per operation. */
  statements: { perOperation: number; milliseconds: number; text: string }[]
}

export type Comparison = {
  subject: Figures
  /** With each, medians over the rounds: the subject's rate over the peer's, the peer's CPU time over the subject's. */
  peers: (Figures & { ratio: number; cpuRatio: number })[]
}

export type Plan = { seconds: number; rounds: number; concurrency: number }

type Window = Load & { cpuMs: number; loadCpuMs: number | null; peakRssMb: number; statements: Statement[] }

export const measureWindow = async (
  contender: Contender,
  database: BenchDatabase,
  plan: Plan,
  warmUpSeconds: number,
): Promise<Window> => {
  const { concurrency } = plan
  await contender.drive({ seconds: warmUpSeconds, concurrency })
  await database.forgetStatements()
  const before = await contender.server.ask<Sample>('sample')
  const loadBefore = await contender.load?.ask<Sample>('sample')
  const load = await contender.drive({ seconds: plan.seconds, concurrency })
  const after = await contender.server.ask<Sample>('sample')
  const loadAfter = await contender.load?.ask<Sample>('sample')
  return {
    ...load,
    cpuMs: after.cpuMs - before.cpuMs,
    loadCpuMs: loadBefore && loadAfter ? loadAfter.cpuMs - loadBefore.cpuMs : null,
    peakRssMb: after.peakRssMb,
    statements: await database.statements(contender.database),
  }
}

const oneLine = (sql: string): string => sql.replace(/\s+/g, ' ').trim()

const toFigures = ({ name, version, by, variant }: Contender, windows: readonly Window[]): Figures => {
  const middle = (of: (window: Window) => number): number => median(windows.map(of))
  const last = windows.at(-1) as Window
  return {
    name,
    version,
    by,
    variant: variant ?? null,
    rate: middle((w) => w.operations / w.seconds),
    p50: middle((w) => w.p50),
    p95: middle((w) => w.p95),
    p99: middle((w) => w.p99),
    cpuMs: middle((w) => w.cpuMs / w.operations),
    loadCpuMs: last.loadCpuMs === null ? null : middle((w) => (w.loadCpuMs ?? 0) / w.operations),
    statementsPerOperation: middle(
      (w) => w.statements.reduce((sum, { calls }) => sum + calls, 0) / w.operations,
    ),
    peakRssMb: Math.max(...windows.map((w) => w.peakRssMb)),
    statements: last.statements
      .filter(({ calls }) => calls / last.operations >= 0.01)
      .map(({ calls, milliseconds, text }) => ({
        perOperation: calls / last.operations,
        milliseconds: milliseconds / calls,
        text: oneLine(text),
      })),
  }
}

const cpuOf = ({ cpuMs, operations }: Window): number => cpuMs / operations

/** “Portico”, “oidc-provider, as it comes”. */
export const nameOf = ({ name, variant }: { name: string; variant?: string | null }): string =>
  variant ? `${name}, ${variant}` : name

const rateOf = ({ operations, seconds }: Load): number => operations / seconds

/** @param contenders the subject first, then its peers */
export const compare = async (
  contenders: readonly Contender[],
  database: BenchDatabase,
  plan: Plan,
  say: (line: string) => void,
): Promise<Comparison> => {
  const windows = contenders.map((): Window[] => [])
  for (let round = 0; round < plan.rounds; round++) {
    const warmUp = round === 0 ? FIRST_WARM_UP_SECONDS : WARM_UP_SECONDS
    for (const [index, contender] of contenders.entries()) {
      const window = await measureWindow(contender, database, plan, warmUp)
      windows[index]?.push(window)
      say(`  round ${round + 1}, ${nameOf(contender)}: ${rateOf(window).toFixed(0)}/s`)
    }
  }
  const [subject, ...peers] = contenders.map((contender, index) => ({
    figures: toFigures(contender, windows[index] as Window[]),
    rounds: windows[index] as Window[],
  }))
  if (!subject) throw new Error('nobody to measure')
  const overRounds = (rounds: Window[], of: (ours: Window, theirs: Window) => number): number =>
    median(subject.rounds.map((ours, round) => of(ours, rounds[round] as Window)))
  return {
    subject: subject.figures,
    peers: peers.map(({ figures, rounds }) => ({
      ...figures,
      ratio: overRounds(rounds, (ours, theirs) => rateOf(ours) / rateOf(theirs)),
      cpuRatio: overRounds(rounds, (ours, theirs) => cpuOf(theirs) / cpuOf(ours)),
    })),
  }
}
