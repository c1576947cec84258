import { readFileSync } from 'node:fs'

/**
 * A process as it can be told from a later one of the same number: a container gives its one process the same pid at
 * every start, and a server that waits for "pid 7" to die would then wait for itself.
 */
export type ProcessMark = { pid: number; started: string }

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Field 22 of /proc/<pid>/stat, ticks from boot to the start; '' where there is no such file to ask. */
const startOf = (pid: number): string => {
  try {
    // The second field is the program's name in parentheses and may hold anything, so count from the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

export const markOf = (pid: number): ProcessMark => ({ pid, started: startOf(pid) })

/** True while exactly that process runs, and no later one under its number. */
export const isRunning = ({ pid, started }: ProcessMark): boolean => isAlive(pid) && startOf(pid) === started
