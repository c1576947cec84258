import type { OrgTx } from '../core/ctx.ts'
import type { User, Within } from './user.ts'
import { toUser, USER_COLUMNS, type UserRow } from './user-row.ts'

const toColumns = (user: User) => ({
  user_name: user.userName,
  external_id: user.externalId,
  email: user.email,
  display_name: user.displayName,
  given_name: user.givenName,
  family_name: user.familyName,
  active: user.active,
  epoch: user.epoch,
  resource: JSON.stringify(user.resource),
  version: user.version,
  updated_at: user.updatedAt,
})

const living = (tx: OrgTx, id: string, within: Within) => {
  const query = tx.db('users').where({ org_id: tx.orgId, id }).whereNull('deleted_at')
  if (within) query.andWhere({ directory_id: within.directoryId })
  return query
}

export const find = async (tx: OrgTx, id: string, within: Within): Promise<User | undefined> => {
  const row: UserRow | undefined = await living(tx, id, within).first(...USER_COLUMNS)
  return row && toUser(row)
}

export const findForUpdate = async (tx: OrgTx, id: string, within: Within): Promise<User | undefined> => {
  const row: UserRow | undefined = await living(tx, id, within)
    .forUpdate()
    .first(...USER_COLUMNS)
  return row && toUser(row)
}

/** Locked against changes, not against other logins. Also finds the deleted: a login must be able to say no to them. */
export const findForShare = async (
  tx: OrgTx,
  id: string,
): Promise<(User & { deleted: boolean }) | undefined> => {
  const row: (UserRow & { deleted_at: Date | null }) | undefined = await tx
    .db('users')
    .where({ org_id: tx.orgId, id })
    .forShare()
    .first(...USER_COLUMNS, 'deleted_at')
  return row && { ...toUser(row), deleted: row.deleted_at !== null }
}

export const insert = async (tx: OrgTx, user: User): Promise<void> => {
  await tx.db('users').insert({
    ...toColumns(user),
    org_id: tx.orgId,
    id: user.id,
    directory_id: user.directoryId,
    created_at: user.createdAt,
  })
}

export const update = async (tx: OrgTx, user: User): Promise<void> => {
  await tx.db('users').where({ org_id: tx.orgId, id: user.id }).update(toColumns(user))
}

/** Keeps what recognises the person (names, IDs, identities) and forgets what describes them. */
export const bury = async (tx: OrgTx, id: string, now: Date): Promise<void> => {
  await tx
    .db('users')
    .where({ org_id: tx.orgId, id })
    .update({
      active: false,
      epoch: tx.db.raw('epoch + 1'),
      display_name: null,
      given_name: null,
      family_name: null,
      resource: '{}',
      updated_at: now,
      deleted_at: now,
    })
}

/** Removes tombstones of the same user name, external ID or address, and with them their identities. */
export const liftTombstones = async (tx: OrgTx, user: User): Promise<void> => {
  await tx
    .db('users')
    .where({ org_id: tx.orgId })
    .whereNotNull('deleted_at')
    .andWhere((same) => {
      same.where('user_name_key', tx.db.raw('lower(?)', [user.userName]))
      if (user.externalId !== null) {
        same.orWhere({ directory_id: user.directoryId, external_id: user.externalId })
      }
      if (user.email !== null) same.orWhere('email_key', tx.db.raw('lower(?)', [user.email]))
    })
    .delete()
}
