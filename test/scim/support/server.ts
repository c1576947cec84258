import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Router from '@koa/router'
import Koa from 'koa'
import pino from 'pino'
import { afterAll, beforeAll } from 'vitest'
import { createAudit } from '../../../src/audit/audit.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { OrgCtx } from '../../../src/core/ctx.ts'
import { newUuid, toId } from '../../../src/core/ids.ts'
import type { Database } from '../../../src/db/pool.ts'
import { forOrg, inTx } from '../../../src/db/transaction.ts'
import { createUsers } from '../../../src/directory/users.ts'
import { requestContexts } from '../../../src/http/request-context.ts'
import { createDirectories } from '../../../src/scim/directories.ts'
import { scimRoutes } from '../../../src/scim/routes.ts'
import { createScimUsers } from '../../../src/scim/users.ts'
import { createSessions } from '../../../src/sessions/sessions.ts'
import { createEndSessions } from '../../../src/tokens/end-session.ts'
import { testDatabase } from '../../support/database.ts'

export type Sent = {
  method?: string
  body?: unknown
  headers?: Record<string, string>
  token?: string | null
}
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by the tests
export type Answered = { status: number; headers: Headers; text: string; json: any }

/** A directory with its token, spoken to over HTTP. */
export type Client = {
  org: OrgCtx
  directoryId: string
  base: string
  token: string
  send: (path: string, sent?: Sent) => Promise<Answered>
}

/** The SCIM routes on real PostgreSQL behind a small Koa app, on a port of its own. */
export const scimServer = () => {
  const db = testDatabase()
  const clock = { now: systemClock.now }
  const audit = createAudit({ clock })
  const directories = createDirectories({ clock, audit })
  const users = createUsers({
    audit,
    clock,
    endSessions: createEndSessions({ sessions: createSessions({ clock }), clock }),
  })
  const log: string[] = []
  /** Another database for the requests that come in, such as one that is not there. */
  const instead: { db: Database | null } = { db: null }
  let server: Server
  let origin = ''

  beforeAll(async () => {
    const app = new Koa()
    const router = new Router()
    app.use((koa, next) => requestContexts({ db: instead.db ?? db.app })(koa, next))
    scimRoutes({
      directories,
      users: createScimUsers({ users }),
      baseUrl: 'https://login.example.com',
      logger: pino({}, { write: (line: string) => void log.push(line) }),
    })(router)
    app.use(router.routes())
    server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  const send = async (
    path: string,
    { method = 'GET', body, headers = {}, token }: Sent,
  ): Promise<Answered> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/scim+json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: text === '' ? null : JSON.parse(text),
    }
  }

  const organisation = async (): Promise<OrgCtx> => {
    const id = newUuid()
    await db.app('organisations').insert({ id, name: `Organisation ${id}` })
    return forOrg(db.ctx(), id)
  }

  const directory = async (profile: string, org?: OrgCtx): Promise<Client> => {
    const owner = org ?? (await organisation())
    const { id, token } = await directories.create(owner, { profile })
    const base = `/scim/v2/${toId('dir', id)}`
    return {
      org: owner,
      directoryId: id,
      base,
      token,
      send: (path, sent = {}) => send(`${base}${path}`, { token, ...sent }),
    }
  }

  const auditActions = (org: OrgCtx): Promise<string[]> =>
    inTx(org, async (tx) => tx.db('audit_events').where({ org_id: tx.orgId }).orderBy('id').pluck('action'))

  return { db, instead, clock, directories, users, log, send, organisation, directory, auditActions }
}

export const USER = 'urn:ietf:params:scim:schemas:core:2.0:User'
export const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
export const PATCH_OP = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
export const ERROR = 'urn:ietf:params:scim:api:messages:2.0:Error'

export const newUser = (userName: string, more: Record<string, unknown> = {}) => ({
  schemas: [USER],
  userName,
  ...more,
})
export const patchOf = (...operations: unknown[]) => ({ schemas: [PATCH_OP], Operations: operations })
