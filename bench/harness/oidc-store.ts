/**
 * oidc-provider's storage on PostgreSQL: one table, one row per entity, one prepared statement per call. What it keeps
 * for devices and backchannel authentication is not built, since nothing here asks for it.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { Pool } from 'pg'

const SCHEMA = `
  create table entities (
    kind text not null,
    id text not null,
    payload jsonb not null,
    grant_id text,
    uid text,
    expires_at timestamptz,
    consumed_at timestamptz,
    primary key (kind, id)
  );
  create index entities_grant on entities (grant_id) where grant_id is not null;
  create index entities_uid on entities (kind, uid) where uid is not null;`

const LIVE = '(expires_at is null or expires_at > now())'

const STATEMENTS = {
  upsert: `insert into entities (kind, id, payload, grant_id, uid, expires_at)
    values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    on conflict (kind, id) do update set payload = excluded.payload, grant_id = excluded.grant_id,
      uid = excluded.uid, expires_at = excluded.expires_at`,
  find: `select payload, consumed_at from entities where kind = $1 and id = $2 and ${LIVE}`,
  findByUid: `select payload, consumed_at from entities where kind = $1 and uid = $2 and ${LIVE}`,
  consume: 'update entities set consumed_at = now() where kind = $1 and id = $2',
  destroy: 'delete from entities where kind = $1 and id = $2',
  revoke: 'delete from entities where grant_id = $1',
} as const

type Row = { payload: AdapterPayload; consumed_at: Date | null }

const toPayload = (row: Row | undefined): AdapterPayload | undefined =>
  row && {
    ...row.payload,
    ...(row.consumed_at && { consumed: Math.floor(row.consumed_at.getTime() / 1000) }),
  }

export const createOidcStore = async (pool: Pool): Promise<(kind: string) => Adapter> => {
  await pool.query(SCHEMA)
  const run = (name: keyof typeof STATEMENTS, values: unknown[]) =>
    pool.query<Row>({ name, text: STATEMENTS[name], values })
  return (kind) => ({
    upsert: async (id, payload, expiresIn) => {
      const { grantId = null, uid = null } = payload
      await run('upsert', [kind, id, JSON.stringify(payload), grantId, uid, expiresIn ?? null])
    },
    find: async (id) => toPayload((await run('find', [kind, id])).rows[0]),
    findByUid: async (uid) => toPayload((await run('findByUid', [kind, uid])).rows[0]),
    findByUserCode: async () => undefined,
    consume: async (id) => void (await run('consume', [kind, id])),
    destroy: async (id) => void (await run('destroy', [kind, id])),
    revokeByGrantId: async (grantId) => void (await run('revoke', [grantId])),
  })
}
