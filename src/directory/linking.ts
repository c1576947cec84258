import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import * as repo from './linking.repo.ts'
import type { User } from './user.ts'
import { findForShare } from './users.repo.ts'
import type { Users } from './users.ts'

/** How a connection's admin wants first sign-ins to find their user. */
export type LinkRules = {
  linkKey: 'externalId' | 'userName'
  /** Only ever in domains assigned to this connection. */
  linkByEmail: boolean
  /** `auto`: on until a directory is paired with the connection. */
  justInTime: 'auto' | 'on' | 'off'
  /** Addresses outside the organisation's verified domains may sign in. */
  admitGuests: boolean
}

/** What linking reads of a verified identity. */
export type LinkableIdentity = {
  subject: string
  linkValues: { externalId: string | undefined; userName: string | undefined }
  email: string | undefined
  emailVerified: boolean | undefined
  displayName: string | undefined
  givenName: string | undefined
  familyName: string | undefined
}

export type Linking = ReturnType<typeof createLinking>

type LinkRefusal =
  | 'user_unknown'
  | 'user_inactive'
  | 'user_deleted'
  | 'email_outside_domains'
  | 'link_conflict'
  | 'subject_malformed'

const refused = (code: LinkRefusal, detail: Record<string, unknown> = {}): AppError =>
  new AppError('forbidden', code, 'This sign-in was refused.', { detail })

/** What PostgreSQL cannot keep as text cannot name a person: refused here, rather than failing there. */
const demandStorable = ({ linkValues, ...rest }: LinkableIdentity): void => {
  if (
    Object.values({ ...rest, ...linkValues }).some(
      (value) => typeof value === 'string' && value.includes('\0'),
    )
  ) {
    throw refused('subject_malformed')
  }
}

/** The refusal that goes with what `users.create` says no to. */
const asRefusal = (error: unknown): unknown => {
  if (!(error instanceof AppError)) return error
  // Two subjects claimed one user name at once, and the other was faster.
  if (error.kind === 'conflict') return refused('link_conflict')
  return error.kind === 'invalid' ? refused('subject_malformed') : error
}

const domainOf = (email: string): string => email.slice(email.lastIndexOf('@') + 1).toLowerCase()

/**
 * From a verified identity to a user, by the rule: (connection, subject) first; then the connection's link key among
 * users of a directory paired with it; then email where the admin chose that; then just-in-time creation; else refusal.
 * The user's row is share-locked throughout, so a deactivation waits for the login and ends it, or comes first and wins.
 */
export const createLinking = ({ users, audit, clock }: { users: Users; audit: Audit; clock: Clock }) => {
  const holdActive = async (tx: OrgTx, userId: string): Promise<User> => {
    const user = await findForShare(tx, userId)
    if (!user || user.deleted) throw refused('user_deleted', { user: userId })
    if (!user.active) throw refused('user_inactive', { user: userId })
    return user
  }

  /** Tenant A's IdP asserting tenant B's address ends here, and so does a guest nobody invited. */
  const demandOwnDomain = async (tx: OrgTx, rules: LinkRules, identity: LinkableIdentity): Promise<void> => {
    if (rules.admitGuests || identity.email === undefined) return
    if (!(await repo.isVerifiedDomain(tx, domainOf(identity.email)))) {
      throw refused('email_outside_domains', { domain: domainOf(identity.email) })
    }
  }

  const byLinkKey = (tx: OrgTx, connectionId: string, rules: LinkRules, identity: LinkableIdentity) => {
    const value = identity.linkValues[rules.linkKey]
    return value === undefined ? undefined : repo.findByLinkKey(tx, connectionId, rules.linkKey, value)
  }

  const byEmail = async (tx: OrgTx, connectionId: string, rules: LinkRules, identity: LinkableIdentity) => {
    // An address that the IdP itself does not vouch for finds nobody's account.
    if (!rules.linkByEmail || identity.email === undefined || identity.emailVerified === false)
      return undefined
    const assigned = await repo.isAssignedDomain(tx, domainOf(identity.email), connectionId)
    return assigned ? repo.findByEmail(tx, identity.email) : undefined
  }

  const link = async (tx: OrgTx, connectionId: string, subject: string, userId: string): Promise<User> => {
    const user = await holdActive(tx, userId)
    // One identity per user and connection: a second subject claiming the same person is a conflict, not a merge.
    if (!(await repo.insertIdentity(tx, { connectionId, subject, userId, createdAt: clock.now() }))) {
      throw refused('link_conflict', { user: userId })
    }
    await audit.record(tx, {
      action: 'identity.linked',
      target: { type: 'user', id: userId },
      facts: { connection: connectionId },
    })
    return user
  }

  const mayCreate = async (tx: OrgTx, connectionId: string, rules: LinkRules): Promise<boolean> =>
    rules.justInTime === 'on' || (rules.justInTime === 'auto' && !(await repo.isPaired(tx, connectionId)))

  const userNameOf = (identity: LinkableIdentity): string =>
    identity.linkValues.userName ?? identity.email ?? identity.subject

  const demandCreatable = async (
    tx: OrgTx,
    connectionId: string,
    rules: LinkRules,
    identity: LinkableIdentity,
  ): Promise<void> => {
    const person = {
      userName: userNameOf(identity),
      email: identity.email ?? null,
      externalId: identity.linkValues.externalId ?? null,
    }
    if (await repo.isBuried(tx, person)) throw refused('user_deleted')
    if (!(await mayCreate(tx, connectionId, rules))) throw refused('user_unknown')
    if (identity.email === undefined && !rules.admitGuests) throw refused('email_outside_domains')
    if (await repo.isUserNameTaken(tx, person.userName)) throw refused('link_conflict')
  }

  const createJustInTime = async (
    tx: OrgTx,
    connectionId: string,
    rules: LinkRules,
    identity: LinkableIdentity,
  ): Promise<User> => {
    await demandCreatable(tx, connectionId, rules, identity)
    const fields = {
      userName: userNameOf(identity),
      externalId: null,
      email: identity.email ?? null,
      displayName: identity.displayName ?? null,
      givenName: identity.givenName ?? null,
      familyName: identity.familyName ?? null,
      active: true,
      resource: {},
    }
    const user = await users.create(tx, fields, { directoryId: null }).catch((error: unknown) => {
      throw asRefusal(error)
    })
    return link(tx, connectionId, identity.subject, user.id)
  }

  /**
   * @throws AppError `forbidden` with a code of the journey's refusal reasons
   */
  const resolve = async (
    tx: OrgTx,
    connectionId: string,
    rules: LinkRules,
    identity: LinkableIdentity,
  ): Promise<User> => {
    demandStorable(identity)
    await demandOwnDomain(tx, rules, identity)
    const known = await repo.findIdentity(tx, connectionId, identity.subject)
    if (known !== undefined) return holdActive(tx, known)
    // Two tabs finish a first sign-in at once: the second waits here, and finds what the first has made.
    await repo.holdSubject(tx, connectionId, identity.subject)
    const linked = await repo.findIdentity(tx, connectionId, identity.subject)
    if (linked !== undefined) return holdActive(tx, linked)
    return linkFirst(tx, connectionId, rules, identity)
  }

  /** The subject has no identity yet. */
  const linkFirst = async (
    tx: OrgTx,
    connectionId: string,
    rules: LinkRules,
    identity: LinkableIdentity,
  ): Promise<User> => {
    const candidate =
      (await byLinkKey(tx, connectionId, rules, identity)) ??
      (await byEmail(tx, connectionId, rules, identity))
    if (candidate !== undefined) return link(tx, connectionId, identity.subject, candidate)
    return createJustInTime(tx, connectionId, rules, identity)
  }

  return { resolve }
}
