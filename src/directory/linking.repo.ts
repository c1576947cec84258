import type { OrgTx } from '../core/ctx.ts'

type Identity = { connectionId: string; subject: string; userId: string; createdAt: Date }

export const findIdentity = async (
  tx: OrgTx,
  connectionId: string,
  subject: string,
): Promise<string | undefined> => {
  const row = await tx
    .db('identities')
    .where({ org_id: tx.orgId, connection_id: connectionId, subject })
    .first('user_id')
  return row?.user_id
}

/** First sign-ins of one subject happen one after the other while their transactions last. */
export const holdSubject = async (tx: OrgTx, connectionId: string, subject: string): Promise<void> => {
  await tx.db.raw(`select pg_advisory_xact_lock(hashtextextended(?, 0))`, [
    `portico.subject/${connectionId}/${subject}`,
  ])
}

/** False where the user has an identity at this connection, or the subject a user. */
export const insertIdentity = async (tx: OrgTx, identity: Identity): Promise<boolean> => {
  const inserted = await tx
    .db('identities')
    .insert({
      org_id: tx.orgId,
      connection_id: identity.connectionId,
      subject: identity.subject,
      user_id: identity.userId,
      created_at: identity.createdAt,
    })
    .onConflict()
    .ignore()
    .returning('user_id')
  return inserted.length === 1
}

/** A user of a directory paired with the connection; link keys are unique within a directory. */
export const findByLinkKey = async (
  tx: OrgTx,
  connectionId: string,
  key: 'externalId' | 'userName',
  value: string,
): Promise<string | undefined> => {
  const query = tx
    .db('users as u')
    .join('directories as d', (on) => on.on('d.org_id', 'u.org_id').andOn('d.id', 'u.directory_id'))
    .where({ 'u.org_id': tx.orgId, 'd.connection_id': connectionId })
    .whereNull('u.deleted_at')
    .limit(2)
  if (key === 'externalId') query.andWhere('u.external_id', value)
  else query.andWhere('u.user_name_key', tx.db.raw('lower(?)', [value]))
  const rows = await query.select('u.id')
  // Two paired directories with the same ID: nobody can say which person this is.
  return rows.length === 1 ? rows[0].id : undefined
}

export const findByEmail = async (tx: OrgTx, email: string): Promise<string | undefined> => {
  const rows = await tx
    .db('users')
    .where({ org_id: tx.orgId })
    .andWhere('email_key', tx.db.raw('lower(?)', [email]))
    .whereNull('deleted_at')
    .limit(2)
    .select('id')
  return rows.length === 1 ? rows[0].id : undefined
}

const verifiedDomain = (tx: OrgTx, name: string) =>
  tx.db('domains').where({ org_id: tx.orgId, name }).whereNotNull('verified_at')

export const isVerifiedDomain = async (tx: OrgTx, name: string): Promise<boolean> =>
  (await verifiedDomain(tx, name).first('id')) !== undefined

export const isAssignedDomain = async (tx: OrgTx, name: string, connectionId: string): Promise<boolean> =>
  (await verifiedDomain(tx, name).andWhere({ connection_id: connectionId }).first('id')) !== undefined

export const isPaired = async (tx: OrgTx, connectionId: string): Promise<boolean> =>
  (await tx.db('directories').where({ org_id: tx.orgId, connection_id: connectionId }).first('id')) !==
  undefined

export const isUserNameTaken = async (tx: OrgTx, userName: string): Promise<boolean> =>
  (await tx
    .db('users')
    .where({ org_id: tx.orgId })
    .andWhere('user_name_key', tx.db.raw('lower(?)', [userName]))
    .whereNull('deleted_at')
    .first('id')) !== undefined

/** True where someone of that name, address or external ID was deleted. */
export const isBuried = async (
  tx: OrgTx,
  person: { userName: string; email: string | null; externalId: string | null },
): Promise<boolean> => {
  const row = await tx
    .db('users')
    .where({ org_id: tx.orgId })
    .whereNotNull('deleted_at')
    .andWhere((same) => {
      same.where('user_name_key', tx.db.raw('lower(?)', [person.userName]))
      if (person.email !== null) same.orWhere('email_key', tx.db.raw('lower(?)', [person.email]))
      if (person.externalId !== null) same.orWhere({ external_id: person.externalId })
    })
    .first('id')
  return row !== undefined
}
