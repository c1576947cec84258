/** The figures for people: a table in the terminal, and the same in docs/benchmarks.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Benchmark } from '../benchmarks.ts'
import { type Comparison, type Figures, nameOf, type Plan } from './compare.ts'
import type { Share } from './profile.ts'

/** `busy`: the load average of the last minute before the start; above zero, others were at work. */
export type Machine = {
  busy: number
  processor: string
  cores: number
  node: string
  postgres: string
  durable: boolean
}

export type Result = {
  benchmark: string
  date: string
  machine: Machine
  plan: Plan
  sizes: { people: number; samlResponseBytes: number }
  comparison: Comparison
  targets: { text: string; wanted: string; value: string; met: boolean }[]
  profile?: { path: string; functions: Share[]; packages: Share[] }
}

const HEADINGS = [
  '',
  'rate/s',
  'p50 ms',
  'p95 ms',
  'p99 ms',
  'server CPU ms/op',
  'load CPU ms/op',
  'statements/op',
  'peak RSS MB',
]

const rowOf = (figures: Figures): string[] => [
  [`${figures.name} ${figures.version}`, figures.by, figures.variant]
    .filter((part) => part !== null)
    .join(', '),
  figures.rate.toFixed(0),
  figures.p50.toFixed(1),
  figures.p95.toFixed(1),
  figures.p99.toFixed(1),
  figures.cpuMs.toFixed(2),
  figures.loadCpuMs === null ? '–' : figures.loadCpuMs.toFixed(2),
  figures.statementsPerOperation.toFixed(1),
  figures.peakRssMb.toFixed(0),
]

const aligned = (rows: string[][]): string => {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n')
}

const verdict = ({ text, wanted, value, met }: Result['targets'][number]): string =>
  `${text}: ${value} (target ${wanted}: ${met ? 'met' : 'not met'})`

const cpuSentence = (peer: Comparison['peers'][number]): string =>
  `server CPU per operation of ${nameOf(peer)}: ${peer.cpuRatio.toFixed(2)} times ours`

const circumstances = ({ machine, plan, sizes }: Result): string =>
  `${machine.cores} × ${machine.processor}, Node ${machine.node}, PostgreSQL ${machine.postgres} ` +
  `(fsync on${machine.durable ? '' : ', but its folder is in memory'}), concurrency ${plan.concurrency}, ` +
  `${sizes.people} people, SAML responses of ${sizes.samlResponseBytes} bytes, median of ${plan.rounds} rounds of ${plan.seconds} s, ` +
  `load average before the start ${machine.busy.toFixed(1)}`

const statementLines = (figures: Figures): string =>
  figures.statements
    .map(
      ({ perOperation, milliseconds, text }) =>
        `  ${perOperation.toFixed(2).padStart(6)} × ${milliseconds.toFixed(3)} ms  ${text.slice(0, 150)}`,
    )
    .join('\n')

const shareLines = (shares: readonly Share[], count: number): string =>
  shares
    .slice(0, count)
    .map(
      ({ what, milliseconds, share }) =>
        `  ${(share * 100).toFixed(1).padStart(5)} % ${milliseconds.toFixed(0).padStart(6)} ms  ${what}`,
    )
    .join('\n')

/** For a terminal. */
export const toText = (benchmark: Benchmark, result: Result): string => {
  const { subject, peers } = result.comparison
  const lines = [
    `${benchmark.name}: ${benchmark.title}`,
    circumstances(result),
    '',
    aligned([HEADINGS, rowOf(subject), ...peers.map(rowOf)]),
    '',
    ...result.targets.map(verdict),
    ...peers.map(cpuSentence),
  ]
  if (result.profile) {
    lines.push(
      '',
      `statements of ${subject.name} per operation, and the database's time for each:`,
      statementLines(subject),
      '',
      ...peers.flatMap((peer) => [`statements of ${nameOf(peer)}:`, statementLines(peer), '']),
      `self time by function (${result.profile.path}):`,
      shareLines(result.profile.functions, 25),
      '',
      'self time by package or folder, what is built in counted for whoever called it:',
      shareLines(result.profile.packages, 20),
    )
  }
  return `${lines.join('\n')}\n`
}

const markdownRow = (cells: string[]): string => `| ${cells.join(' | ')} |`

const toMarkdown = (result: Result): string => {
  const { subject, peers } = result.comparison
  return [
    `Measured ${result.date}: ${circumstances(result)}.`,
    '',
    markdownRow(HEADINGS),
    markdownRow(HEADINGS.map((_, column) => (column === 0 ? '---' : '--:'))),
    markdownRow(rowOf(subject)),
    ...peers.map((peer) => markdownRow(rowOf(peer))),
    '',
    markdownRow(['target', 'wanted', 'measured', '']),
    markdownRow(['---', '---', '---', '---']),
    ...result.targets.map(({ text, wanted, value, met }) =>
      markdownRow([text, wanted, value, met ? 'met' : '**not met**']),
    ),
    '',
    `${peers.map(cpuSentence).join('; ')}.`.replace(/^s/, 'S'),
  ].join('\n')
}

/** Puts the figures between `<!-- figures: name -->` and `<!-- end -->` of the page. */
export const writePage = (path: string, result: Result): void => {
  const page = readFileSync(path, 'utf8')
  const opening = `<!-- figures: ${result.benchmark} -->`
  const start = page.indexOf(opening)
  const end = page.indexOf('<!-- end -->', start)
  if (start < 0 || end < 0) throw new Error(`${path} has no place for ${result.benchmark}`)
  writeFileSync(path, `${page.slice(0, start)}${opening}\n${toMarkdown(result)}\n${page.slice(end)}`)
}
