export type Session = {
  /** UUID. */
  id: string
  userId: string
  connectionId: string
  acr: string | null
  amr: string[]
  authTime: Date
  createdAt: Date
  expiresAt: Date
}

export type NewSession = {
  userId: string
  connectionId: string
  acr: string | undefined
  amr: readonly string[]
  authTime: Date
  /** SessionIndex or `sid` at the IdP. */
  idpSession: string | undefined
}
