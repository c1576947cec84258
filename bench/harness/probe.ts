/** What a server under measurement tells about itself: CPU, memory, and a profile when asked. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { answerParent } from './messages.ts'

export type Sample = {
  /** User and system time of the process since its start, all threads. */
  cpuMs: number
  peakRssMb: number
}

export const takeSample = (): Sample => {
  const { user, system } = process.cpuUsage()
  return { cpuMs: (user + system) / 1000, peakRssMb: process.resourceUsage().maxRSS / 1024 }
}

const SAMPLING_MICROSECONDS = 500

/** Answers `sample`, `profile-start` and `profile-stop`, and whatever else the process has to offer. */
export const answerAsServer = (more: Parameters<typeof answerParent>[0] = {}): void => {
  const session = new Session()
  answerParent({
    ...more,
    sample: takeSample,
    'profile-start': async () => {
      session.connect()
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: SAMPLING_MICROSECONDS })
      await session.post('Profiler.start')
    },
    'profile-stop': async (path: string) => {
      const { profile } = await session.post('Profiler.stop')
      session.disconnect()
      writeFileSync(path, JSON.stringify(profile))
    },
  })
}
