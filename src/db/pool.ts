/**
 * PostgreSQL: the pool, the roles, transactions bound to one tenant, migrations, and an embedded server for trying
 * and developing. Owns no table. Invariants: the application role owns nothing and cannot bypass row security; the
 * tenant is set per transaction, never per session.
 */
import knex, { type Knex } from 'knex'
import pg from 'pg'

// bigint (epoch counters, counts) fits a JavaScript number for longer than Portico will run.
pg.types.setTypeParser(pg.types.builtins.INT8, Number)

export type Database = Knex

const silent = (): void => undefined

const connectionTo = (url: string): pg.ClientConfig & Knex.PgConnectionConfig => ({
  connectionString: url,
  application_name: 'portico',
  connectionTimeoutMillis: 5_000,
  // A statement that outlives the request that wanted it only holds locks.
  statement_timeout: 20_000,
  idle_in_transaction_session_timeout: 30_000,
  // What is not awaited goes out with what follows: the tenant of a transaction with its first statement.
  pipeline: true,
})

/** @param size connections at most; a caller waits 5 s for one before it gets `unavailable` */
export const openDatabase = ({ url, size }: { url: string; size: number }): Database =>
  knex({
    client: 'pg',
    connection: connectionTo(url),
    // Every error reaches its caller; printed here as well it would break the JSON log.
    log: { warn: silent, error: silent, deprecate: silent, debug: silent },
    pool: { min: 0, max: size, acquireTimeoutMillis: 5_000, propagateCreateError: true },
  })
