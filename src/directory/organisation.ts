export type Organisation = { id: string; name: string; createdAt: Date }

export type Domain = {
  id: string
  name: string
  /** The connection that answers for it; null: the organisation's only one. */
  connectionId: string | null
  verifiedAt: Date | null
}
