import type { Middleware } from 'koa'
import { type Logger, pino } from 'pino'
import type { createClientAddress } from './client-address.ts'
import { requestContext } from './request-context.ts'

/** Names that never reach the log, wherever they turn up. Nothing should log them; this is the second line. */
const SECRET_NAMES = [
  'password',
  'secret',
  'clientSecret',
  'token',
  'code',
  'assertion',
  'authorization',
  'cookie',
  'codeVerifier',
]

const redacted = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `err.config.${name}`])

/** JSON lines on stdout. */
export const createLogger = (level: string): Logger =>
  pino({
    level,
    base: null,
    redact: { paths: redacted, censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
  })

export type RequestObserver = (request: {
  method: string
  route: string
  status: number
  seconds: number
}) => void

/** One line a request: the matched route, never the URL, whose query can hold codes and addresses. */
export const requestLog = ({
  logger,
  clientAddress,
  observe,
}: {
  logger: Logger
  clientAddress: ReturnType<typeof createClientAddress>
  observe: RequestObserver
}): Middleware => {
  return async (koa, next) => {
    const started = process.hrtime.bigint()
    try {
      await next()
    } finally {
      const seconds = Number(process.hrtime.bigint() - started) / 1e9
      const route = String((koa as { _matchedRoute?: unknown })._matchedRoute ?? 'none')
      observe({ method: koa.method, route, status: koa.status, seconds })
      logger.info(
        {
          requestId: requestContext(koa).requestId,
          method: koa.method,
          route,
          status: koa.status,
          ms: Math.round(seconds * 10_000) / 10,
          client: clientAddress(koa.req),
        },
        'request',
      )
    }
  }
}
