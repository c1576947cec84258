/** The closed loop: so many at once, each beginning anew when it has its answer. */

/** What one window of load saw, times in milliseconds. */
export type Load = { operations: number; seconds: number; p50: number; p95: number; p99: number }

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN

/** @param operation throws where the answer is not the one that was wanted: then there is no figure at all */
export const runClosedLoop = async (
  operation: (slot: number) => Promise<void>,
  { seconds, concurrency }: { seconds: number; concurrency: number },
): Promise<Load> => {
  const latencies: number[] = []
  const started = performance.now()
  const deadline = started + seconds * 1000
  const worker = async (slot: number): Promise<void> => {
    for (let now = performance.now(); now < deadline; now = performance.now()) {
      await operation(slot)
      latencies.push(performance.now() - now)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, (_, slot) => worker(slot)))
  const elapsed = (performance.now() - started) / 1000
  latencies.sort((a, b) => a - b)
  return {
    operations: latencies.length,
    seconds: elapsed,
    p50: percentile(latencies, 0.5),
    p95: percentile(latencies, 0.95),
    p99: percentile(latencies, 0.99),
  }
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
