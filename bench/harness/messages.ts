/** Questions and answers between the processes of a benchmark, over Node's IPC channel. */
import { type ChildProcess, fork } from 'node:child_process'

type Question = { question: string; id: number; argument: unknown }
type Answer = { answerTo: number; value?: unknown; error?: string }

const isQuestion = (message: unknown): message is Question =>
  typeof message === 'object' && message !== null && 'question' in message

const isAnswer = (message: unknown): message is Answer =>
  typeof message === 'object' && message !== null && 'answerTo' in message

type Handlers = Readonly<Record<string, (argument: never) => unknown>>

const reply = async (handlers: Handlers, message: Question): Promise<Answer> => {
  try {
    const handler = handlers[message.question]
    if (!handler) throw new Error(`nobody answers ${message.question} here`)
    return { answerTo: message.id, value: await handler(message.argument as never) }
  } catch (error) {
    return {
      answerTo: message.id,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }
  }
}

/** Answers the process that started this one, and ends with it. */
export const answerParent = (handlers: Handlers): void => {
  process.on('message', (message) => {
    if (isQuestion(message)) reply(handlers, message).then((answer) => process.send?.(answer))
  })
  // A benchmark that was interrupted leaves no server behind.
  process.on('disconnect', () => process.exit(0))
}

export type Child = {
  ask: <T>(question: string, argument?: unknown) => Promise<T>
  /** SIGTERM, then waits for the end. */
  stop: () => Promise<void>
}

type Waiting = { resolve: (value: unknown) => void; reject: (error: Error) => void }

const settle = (waiting: Map<number, Waiting>, message: unknown): void => {
  if (!isAnswer(message)) return
  const asked = waiting.get(message.answerTo)
  waiting.delete(message.answerTo)
  if (message.error === undefined) asked?.resolve(message.value)
  else asked?.reject(new Error(message.error))
}

/** Starts a Node process with a channel to it. Its stdout goes nowhere, as a log that nobody reads would. */
export const startChild = (
  script: string,
  options: { args?: string[]; execArgv?: string[]; env?: Record<string, string> } = {},
): Child => {
  const child: ChildProcess = fork(script, options.args ?? [], {
    execArgv: options.execArgv ?? [],
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...options.env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, Waiting>()
  let last = 0
  let ended = false
  child.on('message', (message) => settle(waiting, message))
  const exited = new Promise<void>((resolve) =>
    child.once('exit', (code) => {
      ended = true
      for (const { reject } of waiting.values()) reject(new Error(`${script} ended with ${code}`))
      resolve()
    }),
  )
  return {
    ask: <T>(question: string, argument?: unknown) =>
      new Promise<T>((resolve, reject) => {
        if (ended) return reject(new Error(`${script} is not running`))
        last += 1
        waiting.set(last, { resolve: resolve as (value: unknown) => void, reject })
        child.send({ question, id: last, argument } satisfies Question)
      }),
    stop: async () => {
      if (!ended) child.kill('SIGTERM')
      await exited
    },
  }
}
