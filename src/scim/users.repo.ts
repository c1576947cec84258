import type { OrgTx } from '../core/ctx.ts'
import type { User } from '../directory/user.ts'
import { toUser, USER_COLUMNS, type UserRow } from '../directory/user-row.ts'
import type { UserCondition } from './list-query.ts'

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
    .select(...USER_COLUMNS)
  return rows.map(toUser)
}
