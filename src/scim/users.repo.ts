import type { OrgTx } from '../core/ctx.ts'
import type { User } from '../directory/user.ts'
import type { UserCondition } from './list-query.ts'

type UserRow = {
  id: string
  directory_id: string | null
  user_name: string
  external_id: string | null
  email: string | null
  display_name: string | null
  given_name: string | null
  family_name: string | null
  active: boolean
  epoch: number
  resource: Record<string, unknown>
  version: number
  created_at: Date
  updated_at: Date
}

const COLUMNS: readonly (keyof UserRow)[] = [
  'id',
  'directory_id',
  'user_name',
  'external_id',
  'email',
  'display_name',
  'given_name',
  'family_name',
  'active',
  'epoch',
  'resource',
  'version',
  'created_at',
  'updated_at',
]

const toUser = (row: UserRow): User => ({
  id: row.id,
  directoryId: row.directory_id,
  userName: row.user_name,
  externalId: row.external_id,
  email: row.email,
  displayName: row.display_name,
  givenName: row.given_name,
  familyName: row.family_name,
  active: row.active,
  epoch: row.epoch,
  resource: row.resource,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

const matching = (tx: OrgTx, directoryId: string, conditions: readonly UserCondition[]) => {
  const query = tx.db('users').where({ org_id: tx.orgId, directory_id: directoryId }).whereNull('deleted_at')
  for (const condition of conditions) {
    if (condition.by === 'externalId') query.andWhere('external_id', condition.value)
    else if (condition.by === 'id') {
      if (condition.value === null) query.whereRaw('false')
      else query.andWhere('id', condition.value)
    }
    // Folded by the database, as the column was: two foldings would one day differ.
    else query.andWhere('user_name_key', tx.db.raw('lower(?)', [condition.value]))
  }
  return query
}

export const count = async (
  tx: OrgTx,
  directoryId: string,
  conditions: readonly UserCondition[],
): Promise<number> => {
  const row = await matching(tx, directoryId, conditions).count<{ total: number }[]>({ total: '*' }).first()
  return Number(row?.total ?? 0)
}

/** In the order of their IDs, which is the order of creation and never changes. */
export const page = async (
  tx: OrgTx,
  directoryId: string,
  conditions: readonly UserCondition[],
  { offset, limit }: { offset: number; limit: number },
): Promise<User[]> => {
  const rows: UserRow[] = await matching(tx, directoryId, conditions)
    .orderBy('id')
    .offset(offset)
    .limit(limit)
    .select(...COLUMNS)
  return rows.map(toUser)
}
