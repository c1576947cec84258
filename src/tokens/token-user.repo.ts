import type { OrgTx } from '../core/ctx.ts'

/** What a token says about a user. */
export type TokenUser = {
  id: string
  epoch: number
  userName: string
  email: string | null
  emailVerified: boolean
  displayName: string | null
  givenName: string | null
  familyName: string | null
}

export type TokenUserRow = {
  id: string
  epoch: number
  user_name: string
  email: string | null
  email_verified: boolean
  display_name: string | null
  given_name: string | null
  family_name: string | null
}

/** `email_verified` is ours to say, and true only in a domain that the organisation has proved is its own. */
const SELECT = `
  select u.id, u.epoch, u.user_name, u.email, u.display_name, u.given_name, u.family_name,
    exists (select 1 from domains d where d.org_id = u.org_id and d.verified_at is not null
      and d.name = split_part(u.email_key, '@', 2)) as email_verified
  from users u where u.org_id = ? and u.id = ? and u.active and u.deleted_at is null`

export const toTokenUser = (row: TokenUserRow): TokenUser => ({
  id: row.id,
  epoch: row.epoch,
  userName: row.user_name,
  email: row.email,
  emailVerified: row.email_verified,
  displayName: row.display_name,
  givenName: row.given_name,
  familyName: row.family_name,
})

/**
 * The user, if active, locked against deactivation while the transaction lasts: a token is minted either before the
 * deactivation, which then ends it, or not at all.
 */
export const holdActiveUser = async (tx: OrgTx, id: string): Promise<TokenUser | undefined> => {
  const { rows } = await tx.db.raw<{ rows: TokenUserRow[] }>(`${SELECT} for share of u`, [tx.orgId, id])
  return rows[0] && toTokenUser(rows[0])
}

/** The user, if active. */
export const findActiveUser = async (tx: OrgTx, id: string): Promise<TokenUser | undefined> => {
  const { rows } = await tx.db.raw<{ rows: TokenUserRow[] }>(SELECT, [tx.orgId, id])
  return rows[0] && toTokenUser(rows[0])
}
