import type { User } from './user.ts'

/** A row of `users` as it is read, here and by SCIM's lists: a new column is added in one place. */
export type UserRow = {
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

export const USER_COLUMNS = [
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
] as const

export const toUser = (row: UserRow): User => ({
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
