import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../core/errors.ts'
import { isRunning, markOf, type ProcessMark } from './processes.ts'

const WAIT_MS = 60_000

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const isHeld = (content: string): boolean => {
  try {
    return isRunning(JSON.parse(content) as ProcessMark)
  } catch {
    return false
  }
}

/** True where the lock is now ours. A link appears whole or not at all: no one reads a lock that is half written. */
const take = (path: string, content: string, draft: string): boolean => {
  writeFileSync(draft, content, { mode: 0o600 })
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Clears a dead holder's lock. Another waiter may have done so, and hold it by now: then it is put back. */
const clear = (path: string, dead: string, aside: string): void => {
  try {
    renameSync(path, aside)
    if (read(aside) !== dead) linkSync(aside, path)
  } catch {
    // Gone or taken meanwhile: the next round sees whose it is.
  } finally {
    rmSync(aside, { force: true })
  }
}

/**
 * One process at a time starts, adopts or stops the server of a data directory. A dead holder's lock is taken.
 * @throws AppError `unavailable`/`embedded_postgres_busy` after a minute
 */
export const withStartLock = async <T>(dataDir: string, work: () => Promise<T>): Promise<T> => {
  const path = join(dataDir, 'postgres-start.lock')
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const content = JSON.stringify(markOf(process.pid))
  const deadline = Date.now() + WAIT_MS
  while (!take(path, content, draft)) {
    const holder = read(path)
    if (holder !== undefined && !isHeld(holder)) clear(path, holder, draft)
    else if (Date.now() > deadline) {
      throw new AppError(
        'unavailable',
        'embedded_postgres_busy',
        `Another process is starting the embedded database in ${dataDir} and does not finish.`,
      )
    } else await sleep(50)
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}
