/** What a source of users may say about one. */
export type UserFields = {
  userName: string
  /** The source's own ID. Never a key of ours. */
  externalId: string | null
  email: string | null
  displayName: string | null
  givenName: string | null
  familyName: string | null
  active: boolean
  /** The rest of the SCIM resource: everything that has no column. */
  resource: Record<string, unknown>
}

export type User = UserFields & {
  /** UUID. */
  id: string
  /** The directory it belongs to; null: made by a login (just in time). */
  directoryId: string | null
  /** Grows whenever live tokens must no longer be believed. */
  epoch: number
  version: number
  createdAt: Date
  updatedAt: Date
}

/** `null` as directory means the users of no directory; leave the scope out to reach any user of the organisation. */
export type Within = { directoryId: string | null } | undefined
