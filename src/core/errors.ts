/**
 * The one error type. A rule throws an `AppError`; each edge (SCIM, OAuth, problem+json, login pages, CLI)
 * maps its `kind` in a table that must name every kind, so a new kind fails to compile until all edges answer it.
 */

/** What went wrong, in terms of whose move is next. No HTTP in it: each edge has its own table. */
export type Kind =
  | 'invalid' // the request can never succeed as sent
  | 'unauthenticated' // no credential, or one that does not hold
  | 'forbidden' // known caller, not allowed
  | 'not_found' // absent, or another organisation's: never told apart
  | 'conflict' // the state of things refuses it (uniqueness, single use)
  | 'precondition' // If-Match and its like did not hold
  | 'too_large' // over a byte, node or row cap
  | 'unsupported' // a media type, method or feature that is not offered
  | 'rate_limited' // too many; try later
  | 'upstream' // the other side (an IdP, a metadata host) is at fault
  | 'unavailable' // our database or a queue is; try again
  | 'internal' // a defect

export type AppErrorOptions = {
  cause?: unknown
  /** For the log only: never shown to a caller, and never a secret, token, code or assertion. */
  detail?: Record<string, unknown>
}

/**
 * @param code stable, snake_case, part of the public surface
 * @param message one plain sentence that may be shown to whoever asked
 */
export class AppError extends Error {
  readonly kind: Kind
  readonly code: string
  readonly detail: Record<string, unknown> | undefined

  constructor(kind: Kind, code: string, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.kind = kind
    this.code = code
    this.detail = options.detail
  }
}
