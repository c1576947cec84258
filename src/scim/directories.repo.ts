import type { OrgTx } from '../core/ctx.ts'

export type DirectoryRow = { id: string; profile: string; connectionId: string | null; createdAt: Date }

const FIELDS = { id: 'id', profile: 'profile', connectionId: 'connection_id', createdAt: 'created_at' }

export const insert = async (tx: OrgTx, directory: DirectoryRow): Promise<void> => {
  await tx.db('directories').insert({
    org_id: tx.orgId,
    id: directory.id,
    profile: directory.profile,
    connection_id: directory.connectionId,
    created_at: directory.createdAt,
  })
}

export const lock = async (tx: OrgTx, id: string): Promise<DirectoryRow | undefined> =>
  tx.db('directories').where({ org_id: tx.orgId, id }).forUpdate().first(FIELDS)

export const all = async (tx: OrgTx): Promise<DirectoryRow[]> =>
  tx.db('directories').where({ org_id: tx.orgId }).orderBy('id').select(FIELDS)

export const remove = async (tx: OrgTx, id: string): Promise<void> => {
  await tx.db('directories').where({ org_id: tx.orgId, id }).delete()
}

export const connectionExists = async (tx: OrgTx, id: string): Promise<boolean> =>
  (await tx.db('connections').where({ org_id: tx.orgId, id }).first('id')) !== undefined

export const insertToken = async (
  tx: OrgTx,
  token: { id: string; directoryId: string; hash: Buffer; createdAt: Date },
): Promise<void> => {
  await tx.db('directory_tokens').insert({
    org_id: tx.orgId,
    id: token.id,
    directory_id: token.directoryId,
    hash: token.hash,
    created_at: token.createdAt,
  })
}

/** The live tokens of a directory stop at `at`, or when they would have anyway. Returns how many that were. */
export const endTokens = async (tx: OrgTx, directoryId: string, now: Date, at: Date): Promise<number> => {
  const tokens = () => tx.db('directory_tokens').where({ org_id: tx.orgId, directory_id: directoryId })
  await tokens().where('expires_at', '<=', now).delete()
  return tokens().update({ expires_at: tx.db.raw(`least(coalesce(expires_at, 'infinity'), ?)`, [at]) })
}

export type TokenRow = { hash: Buffer; directoryId: string; profile: string }

/** A token that has not expired, with its directory. */
export const findToken = async (tx: OrgTx, id: string, now: Date): Promise<TokenRow | undefined> =>
  tx
    .db('directory_tokens as token')
    .join('directories as directory', (join) =>
      join.on('directory.org_id', 'token.org_id').on('directory.id', 'token.directory_id'),
    )
    .where({ 'token.org_id': tx.orgId, 'token.id': id })
    .andWhere((live) => live.whereNull('token.expires_at').orWhere('token.expires_at', '>', now))
    .first({
      hash: 'token.hash',
      directoryId: 'directory.id',
      profile: 'directory.profile',
    })
