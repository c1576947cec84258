import type { Context, Middleware } from 'koa'
import type { Ctx } from '../core/ctx.ts'
import { randomToken } from '../crypto/hash.ts'
import type { Database } from '../db/pool.ts'

type ContextState = { portico?: Ctx }

/**
 * Gives every request its `Ctx`. The request ID is always ours: one taken from a header would let a caller write
 * into our log and audit trail.
 */
export const requestContexts = ({ db }: { db: Database }): Middleware => {
  return async (koa, next) => {
    const requestId = `req_${randomToken(12)}`
    const state = koa.state as ContextState
    state.portico = { db, actor: { type: 'anonymous' }, requestId }
    koa.set('X-Request-Id', requestId)
    await next()
  }
}

/** The request's context: no tenant and an anonymous actor, until a credential says otherwise. */
export const requestContext = (koa: Context): Ctx => {
  const { portico } = koa.state as ContextState
  if (!portico) throw new Error('requestContexts is not mounted before this route')
  return portico
}
