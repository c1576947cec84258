import { AppError } from '../core/errors.ts'

// Class 08: connection exceptions. 57P01–57P03: shutting down, crashed, starting up. 53300: too many connections.
const UNAVAILABLE_STATES = /^(08...|57P0[1-3]|53300|55P03|57014)$/
const UNAVAILABLE_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'])
const UNAVAILABLE_TEXT =
  /^(Connection terminated|timeout expired|Client has encountered a connection error|Knex: Timeout acquiring a connection|Unable to acquire a connection|Client was closed)/

/** Turns a driver error that means "the database is not there just now" into `unavailable`; passes others through. */
export const asDatabaseFault = (error: unknown): unknown => {
  if (error instanceof AppError || !(error instanceof Error)) return error
  const code = (error as { code?: unknown }).code
  const gone =
    (typeof code === 'string' && (UNAVAILABLE_STATES.test(code) || UNAVAILABLE_CODES.has(code))) ||
    UNAVAILABLE_TEXT.test(error.message)
  return gone
    ? new AppError(
        'unavailable',
        'database_unavailable',
        'Portico cannot reach its database just now. Try again in a few seconds.',
        { cause: error },
      )
    : error
}

/** The name of the violated constraint where `error` is a unique violation, else null. */
export const uniqueViolation = (error: unknown): string | null => {
  const { code, constraint } = (error ?? {}) as { code?: string; constraint?: string }
  return code === '23505' ? (constraint ?? '') : null
}
