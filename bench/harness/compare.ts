/** Rounds of A, B, A, B: machines are noisy, so both meet the same noise and the medians count. */
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
  /** Operations per second. */
  rate: number
  p50: number
  p95: number
  p99: number
  /** User and system time of the server process per operation. */
  cpuMs: number
  statementsPerOperation: number
  peakRssMb: number
  /** Of the last round, per operation. */
  statements: { perOperation: number; milliseconds: number; text: string }[]
}

export type Comparison = {
  subject: Figures
  peer: Figures
  /** Median over the rounds of the subject's rate over the peer's. */
  ratio: number
}

export type Plan = { seconds: number; rounds: number; concurrency: number }

type Window = Load & { cpuMs: number; peakRssMb: number; statements: Statement[] }

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
  const load = await contender.drive({ seconds: plan.seconds, concurrency })
  const after = await contender.server.ask<Sample>('sample')
  return {
    ...load,
    cpuMs: after.cpuMs - before.cpuMs,
    peakRssMb: after.peakRssMb,
    statements: await database.statements(contender.database),
  }
}

const oneLine = (sql: string): string => sql.replace(/\s+/g, ' ').trim()

const toFigures = ({ name, version, by }: Contender, windows: readonly Window[]): Figures => {
  const middle = (of: (window: Window) => number): number => median(windows.map(of))
  const last = windows.at(-1) as Window
  return {
    name,
    version,
    by,
    rate: middle((w) => w.operations / w.seconds),
    p50: middle((w) => w.p50),
    p95: middle((w) => w.p95),
    p99: middle((w) => w.p99),
    cpuMs: middle((w) => w.cpuMs / w.operations),
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

export const compare = async (
  { subject, peer }: { subject: Contender; peer: Contender },
  database: BenchDatabase,
  plan: Plan,
  say: (line: string) => void,
): Promise<Comparison> => {
  const windows: { subject: Window[]; peer: Window[] } = { subject: [], peer: [] }
  for (let round = 0; round < plan.rounds; round++) {
    const warmUp = round === 0 ? FIRST_WARM_UP_SECONDS : WARM_UP_SECONDS
    for (const [side, contender] of [
      ['subject', subject],
      ['peer', peer],
    ] as const) {
      const window = await measureWindow(contender, database, plan, warmUp)
      windows[side].push(window)
      say(`  round ${round + 1}, ${contender.name}: ${(window.operations / window.seconds).toFixed(0)}/s`)
    }
  }
  const rates = (side: 'subject' | 'peer') => windows[side].map((w) => w.operations / w.seconds)
  const peerRates = rates('peer')
  return {
    subject: toFigures(subject, windows.subject),
    peer: toFigures(peer, windows.peer),
    ratio: median(rates('subject').map((rate, round) => rate / (peerRates[round] as number))),
  }
}
