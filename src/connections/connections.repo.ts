import type { OrgTx } from '../core/ctx.ts'
import type { Connection, ConnectionStatus } from './connection.ts'

type ConnectionRow = {
  id: string
  type: string
  name: string
  status: ConnectionStatus
  config: Record<string, unknown>
  secrets_sealed: Buffer | null
  link_key: 'externalId' | 'userName'
  link_by_email: boolean
  just_in_time: 'auto' | 'on' | 'off'
  admit_guests: boolean
}

type Stored = { connection: Connection; secretsSealed: Buffer | null }

const COLUMNS = [
  'id',
  'type',
  'name',
  'status',
  'config',
  'secrets_sealed',
  'link_key',
  'link_by_email',
  'just_in_time',
  'admit_guests',
] as const

const toStored = (row: ConnectionRow): Stored => ({
  secretsSealed: row.secrets_sealed,
  connection: {
    id: row.id,
    type: row.type,
    name: row.name,
    status: row.status,
    config: row.config,
    rules: {
      linkKey: row.link_key,
      linkByEmail: row.link_by_email,
      justInTime: row.just_in_time,
      admitGuests: row.admit_guests,
    },
  },
})

const toColumns = (connection: Connection, secretsSealed: Buffer | null, now: Date) => ({
  name: connection.name,
  config: JSON.stringify(connection.config),
  secrets_sealed: secretsSealed,
  link_key: connection.rules.linkKey,
  link_by_email: connection.rules.linkByEmail,
  just_in_time: connection.rules.justInTime,
  admit_guests: connection.rules.admitGuests,
  updated_at: now,
})

const one = (tx: OrgTx, id: string) => tx.db('connections').where({ org_id: tx.orgId, id })

export const insert = async (tx: OrgTx, connection: Connection, sealed: Buffer, now: Date): Promise<void> => {
  await tx.db('connections').insert({
    ...toColumns(connection, sealed, now),
    org_id: tx.orgId,
    id: connection.id,
    type: connection.type,
    status: connection.status,
    created_at: now,
  })
}

export const find = async (tx: OrgTx, id: string): Promise<Stored | undefined> => {
  const row: ConnectionRow | undefined = await one(tx, id).first(...COLUMNS)
  return row && toStored(row)
}

export const findForUpdate = async (tx: OrgTx, id: string): Promise<Stored | undefined> => {
  const row: ConnectionRow | undefined = await one(tx, id)
    .forUpdate()
    .first(...COLUMNS)
  return row && toStored(row)
}

export const holdEnabled = async (tx: OrgTx, id: string): Promise<boolean> =>
  (await one(tx, id).andWhere({ status: 'enabled' }).forShare().first('id')) !== undefined

export const update = async (
  tx: OrgTx,
  connection: Connection,
  sealed: Buffer | null,
  now: Date,
): Promise<void> => {
  await one(tx, connection.id).update(toColumns(connection, sealed, now))
}

export const setStatus = async (
  tx: OrgTx,
  id: string,
  status: ConnectionStatus,
  now: Date,
): Promise<void> => {
  await one(tx, id).update({ status, updated_at: now })
}

export const remove = async (tx: OrgTx, id: string): Promise<boolean> => (await one(tx, id).delete()) === 1

export const list = async (tx: OrgTx): Promise<Connection[]> => {
  const rows: ConnectionRow[] = await tx
    .db('connections')
    .where({ org_id: tx.orgId })
    .orderBy('id')
    .select(...COLUMNS)
  return rows.map((row) => toStored(row).connection)
}
