/**
 * The second opinion off the event loop: a few worker threads, one document of a connection at a time, a deadline after
 * which the thread is ended, a bounded queue. A tenant whose IdP signs documents that keep node-saml busy spends its
 * own turn and a thread that is replaced, and from then on leaves a thread to the others, who are asked about in turns,
 * connection by connection.
 */
import { Worker } from 'node:worker_threads'
import { refusal } from '../connections/contract.ts'
import { AppError } from '../core/errors.ts'
import type { Opinion, OpinionRequest, SecondOpinion } from './second-opinion.ts'

export type OpinionPoolOptions = {
  threads?: number
  /** Milliseconds that one document may take; then its login is refused. */
  deadlineMs?: number
  /** How many may wait, in all. One connection may fill half of it. */
  queue?: number
}

export type OpinionPool = {
  /** @throws AppError `opinion_timeout`; `unavailable`/`opinion_queue_full` */
  ask: SecondOpinion
  /** Ends the threads; who still waits is told `unavailable`. */
  close: () => Promise<void>
}

type Job = {
  connectionId: string
  request: OpinionRequest
  resolve: (opinion: Opinion) => void
  reject: (error: Error) => void
  waiting: NodeJS.Timeout
}

type Thread = { worker: Worker; ready: boolean; job: Job | null; timer: NodeJS.Timeout | undefined }

/** Loading node-saml takes a fraction of this; longer means that the file cannot be loaded. */
const START_MS = 30_000
/** Longer than a browser or a person waits. */
const WAIT_MS = 10_000
const MEMORY_MB = 256

const unavailable = (why: string): AppError =>
  new AppError('unavailable', 'opinion_queue_full', 'Too many sign-ins at once. Try again in a moment.', {
    detail: { why },
  })

const noOpinion = (received: string): AppError =>
  refusal('opinion_timeout', { expected: 'a second opinion within the deadline', received })

/** Where the sources run as they are (development, tests): Node.js 20 needs a loader in each thread to read them. */
const FROM_SOURCE = `const { workerData } = require('node:worker_threads')
import('tsx/esm/api').then(({ register }) => { register(); return import(workerData) })`

const startWorker = (): Worker => {
  const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MB }
  return import.meta.url.endsWith('.ts')
    ? new Worker(FROM_SOURCE, {
        eval: true,
        resourceLimits,
        workerData: new URL('./opinion-worker.ts', import.meta.url).href,
      })
    : new Worker(new URL('./opinion-worker.js', import.meta.url), { resourceLimits })
}

export const createOpinionPool = (options: OpinionPoolOptions = {}): OpinionPool => {
  const { threads: size = 2, deadlineMs = 2000, queue: capacity = 256 } = options
  const threads = new Set<Thread>()
  /** By connection, in the order of their turns. */
  const waiting = new Map<string, Job[]>()
  /** Connections whose last document was cut at the deadline. */
  const cut = new Set<string>()
  let queued = 0
  let closed = false

  /** Ends a thread and refuses what it was at; whoever waits gets a new one. */
  const discard = (thread: Thread, fault: AppError): Promise<number> => {
    clearTimeout(thread.timer)
    threads.delete(thread)
    const ended = thread.worker.terminate()
    thread.job?.reject(fault)
    thread.job = null
    return ended
  }

  const start = (): void => {
    const thread: Thread = { worker: startWorker(), ready: false, job: null, timer: undefined }
    threads.add(thread)
    const fail = (why: string): void => {
      if (!threads.has(thread)) return
      const loaded = thread.ready
      void discard(thread, noOpinion(why))
      // A thread that never loads would be tried for ever: those who wait are told instead.
      if (loaded) dispatch()
      else for (const job of [...waiting.values()].flat()) drop(job, unavailable(why))
    }
    thread.timer = setTimeout(() => fail('a worker that does not start'), START_MS)
    thread.worker.on('message', (message: 'ready' | Opinion) => answer(thread, message))
    thread.worker.on('error', (error) => fail(`a worker that failed: ${error.message.slice(0, 200)}`))
    thread.worker.on('exit', () => fail('a worker that ended'))
  }

  const answer = (thread: Thread, message: 'ready' | Opinion): void => {
    clearTimeout(thread.timer)
    if (message === 'ready') thread.ready = true
    else if (thread.job) {
      cut.delete(thread.job.connectionId)
      thread.job.resolve(message)
    }
    thread.job = null
    // An idle thread does not keep a command from ending.
    thread.worker.unref()
    dispatch()
  }

  /** Takes a job out of the queue; false if it is no longer there. */
  const unqueue = (job: Job): boolean => {
    const jobs = waiting.get(job.connectionId) ?? []
    const at = jobs.indexOf(job)
    if (at < 0) return false
    jobs.splice(at, 1)
    queued -= 1
    clearTimeout(job.waiting)
    waiting.delete(job.connectionId)
    // To the end of the round, behind every other connection.
    if (jobs.length > 0) waiting.set(job.connectionId, jobs)
    return true
  }

  const drop = (job: Job, fault: AppError): void => {
    if (unqueue(job)) job.reject(fault)
  }

  /** The first whose connection is not being served. Of one that was cut, only while a thread is left for others. */
  const nextJob = (idle: number): Job | undefined => {
    const busy = new Set([...threads].map(({ job }) => job?.connectionId))
    for (const [connectionId, [first]] of waiting) {
      if (!busy.has(connectionId) && (idle > 1 || size === 1 || !cut.has(connectionId))) return first
    }
    return undefined
  }

  const run = (thread: Thread, job: Job): void => {
    unqueue(job)
    thread.job = job
    thread.worker.ref()
    thread.timer = setTimeout(() => {
      cut.add(job.connectionId)
      void discard(thread, noOpinion(`none after ${deadlineMs} ms`))
      dispatch()
    }, deadlineMs)
    thread.worker.postMessage(job.request)
  }

  const dispatch = (): void => {
    const idle = [...threads].filter((thread) => thread.ready && thread.job === null)
    for (let thread = idle.pop(); thread; thread = idle.pop()) {
      const job = nextJob(idle.length + 1)
      if (!job) break
      run(thread, job)
    }
    const starting = [...threads].some((thread) => !thread.ready)
    if (nextJob(size) && !starting && threads.size < size) start()
  }

  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        const { connectionId } = request
        const own = waiting.get(connectionId) ?? []
        if (closed || queued >= capacity || own.length >= capacity / 2) {
          reject(unavailable(closed ? 'closed' : 'the queue is full'))
          return
        }
        const expire = setTimeout(() => drop(job, unavailable(`waited ${WAIT_MS} ms`)), WAIT_MS)
        const job: Job = { connectionId, request, resolve, reject, waiting: expire }
        waiting.set(connectionId, [...own, job])
        queued += 1
        dispatch()
      }),
    close: async () => {
      closed = true
      for (const job of [...waiting.values()].flat()) drop(job, unavailable('closed'))
      await Promise.all([...threads].map((thread) => discard(thread, unavailable('closed'))))
    },
  }
}
