export type Client = {
  /** UUID; `cli_…` at the edge. */
  id: string
  /** Null: an app of the whole platform. */
  orgId: string | null
  name: string
  redirectUris: string[]
  postLogoutRedirectUris: string[]
  audience: string
}

export type NewClient = {
  name: string
  redirectUris: string[]
  postLogoutRedirectUris?: string[]
  audience?: string
  orgId?: string | null
}
