import type { Logger } from 'pino'
import type { Database } from './pool.ts'

const INTERVAL_MS = 10 * 60_000
const BATCH = 5_000

/** Deletes one batch of what has expired, of all tenants; returns how many rows (migration 0007). */
export const sweepExpired = async (db: Database): Promise<number> => {
  const { rows } = await db.raw<{ rows: { swept: number }[] }>('select sweep_expired(?) as swept', [BATCH])
  return rows[0]?.swept ?? 0
}

/**
 * Sweeps every ten minutes, give or take, on every node: `skip locked` keeps them out of each other's way, and a sweep
 * that fails is the next one's work. Returns what stops it.
 */
export const startSweeping = (db: Database, logger: Logger): (() => void) => {
  const sweep = (): void => {
    sweepExpired(db).catch((error: unknown) => logger.warn({ err: error }, 'sweep'))
  }
  // Nodes that start together should not sweep together.
  const timer = setInterval(sweep, INTERVAL_MS * (0.8 + Math.random() * 0.4))
  timer.unref()
  return () => clearInterval(timer)
}
