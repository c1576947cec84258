import type { Load } from '../harness/closed-loop.ts'
import type { BenchDatabase } from '../harness/database.ts'
import type { IdentityProvider } from '../harness/identity-provider.ts'
import type { Child } from '../harness/messages.ts'

/** One side of a benchmark, started and prepared: a server process and whatever drives it. */
export type Contender = {
  name: string
  version: string
  /** How it is reached. */
  by: 'HTTP' | 'library'
  /** Where there are two of one name. */
  variant?: string
  database: string
  /** Answers `sample`, `profile-start`, `profile-stop`. */
  server: Child
  /** Answers `sample`; none where the server drives itself. */
  load?: Child
  drive: (window: { seconds: number; concurrency: number }) => Promise<Load>
  close: () => Promise<void>
}

/** What every contender is started with. */
export type Surroundings = {
  database: BenchDatabase
  /** Where the benchmark's processes were built to: `…/bench`. */
  built: string
  /** bench/peers, installed. */
  peers: string
  idp: IdentityProvider
  people: number
  concurrency: number
  poolSize: number
}
