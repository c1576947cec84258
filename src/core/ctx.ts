import type { Knex } from 'knex'

/** Who is acting; written into every audit event. IDs are raw UUIDs. */
export type Actor =
  | { type: 'anonymous' }
  | { type: 'system' }
  | { type: 'cli' }
  | { type: 'user'; id: string }
  | { type: 'directory'; id: string }
  | { type: 'client'; id: string }

/** Always the first argument of a rule. */
export type Ctx = {
  db: Knex
  actor: Actor
  /** Correlates the log, the audit trail and what a person was shown. */
  requestId: string
}

/** A context bound to one tenant. A function that demands it cannot be called with the tenant forgotten. */
export type OrgCtx = Ctx & { orgId: string }

declare const inTransaction: unique symbol

/**
 * A context whose `db` is an open transaction with `app.org_id` set to its tenant (or to nothing).
 * Only `inTx` makes one; repositories demand it, because outside of it row security shows no rows.
 */
export type Tx<C extends Ctx = Ctx> = C & { readonly [inTransaction]: true }

export type OrgTx = Tx<OrgCtx>
