import type { OrgTx } from '../core/ctx.ts'
import type { Session } from './session.ts'

type SessionRow = {
  id: string
  user_id: string
  connection_id: string
  hash: Buffer
  acr: string | null
  amr: string[]
  auth_time: Date
  created_at: Date
  expires_at: Date
}

const COLUMNS = [
  'id',
  'user_id',
  'connection_id',
  'hash',
  'acr',
  'amr',
  'auth_time',
  'created_at',
  'expires_at',
] as const

const toSession = (row: SessionRow): Session & { hash: Buffer } => ({
  id: row.id,
  userId: row.user_id,
  connectionId: row.connection_id,
  hash: row.hash,
  acr: row.acr,
  amr: row.amr,
  authTime: row.auth_time,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
})

export const insert = async (
  tx: OrgTx,
  session: Session & { hash: Buffer; idpSession: string | null },
): Promise<void> => {
  await tx.db('sessions').insert({
    org_id: tx.orgId,
    id: session.id,
    user_id: session.userId,
    connection_id: session.connectionId,
    hash: session.hash,
    acr: session.acr,
    amr: session.amr,
    auth_time: session.authTime,
    idp_session: session.idpSession,
    created_at: session.createdAt,
    expires_at: session.expiresAt,
  })
}

const live = (tx: OrgTx, now: Date) =>
  tx.db('sessions').where({ org_id: tx.orgId }).whereNull('ended_at').andWhere('expires_at', '>', now)

export const findLive = async (
  tx: OrgTx,
  id: string,
  now: Date,
): Promise<(Session & { hash: Buffer }) | undefined> => {
  const row: SessionRow | undefined = await live(tx, now)
    .andWhere({ id })
    .first(...COLUMNS)
  return row && toSession(row)
}

export const holdLive = async (tx: OrgTx, id: string, now: Date): Promise<Session | undefined> => {
  const row: SessionRow | undefined = await live(tx, now)
    .andWhere({ id })
    .forShare()
    .first(...COLUMNS)
  return row && toSession(row)
}

export const listLive = async (tx: OrgTx, userId: string, now: Date): Promise<Session[]> => {
  const rows: SessionRow[] = await live(tx, now)
    .andWhere({ user_id: userId })
    .orderBy('id')
    .select(...COLUMNS)
  return rows.map((row) => {
    const { hash: _, ...session } = toSession(row)
    return session
  })
}

const ending = (now: Date, reason: string) => ({ ended_at: now, end_reason: reason })

/** Returns the IDs of the sessions that this ended. */
export const endForUser = async (tx: OrgTx, userId: string, reason: string, now: Date): Promise<string[]> => {
  const rows = await tx
    .db('sessions')
    .where({ org_id: tx.orgId, user_id: userId })
    .whereNull('ended_at')
    .update(ending(now, reason))
    .returning('id')
  return rows.map((row) => row.id as string)
}

/** False where it was over already. */
export const endOne = async (tx: OrgTx, id: string, reason: string, now: Date): Promise<boolean> =>
  (await tx
    .db('sessions')
    .where({ org_id: tx.orgId, id })
    .whereNull('ended_at')
    .update(ending(now, reason))) > 0
