import type { Connections } from '../connections/connections.ts'
import type { OpenConnection } from '../connections/contract.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { forOrg, inTx, lookUpOrg } from '../db/transaction.ts'
import type { Organisations } from '../directory/organisations.ts'

/** Who is about to sign in, as far as anyone has said: an address, or an app's hint at the organisation. */
export type Hint = { email: string } | { orgId: string }

/** Where a sign-in goes: the organisation and its connection, opened. */
export type HomeRealm = { ctx: OrgCtx; connectionId: string; opened: OpenConnection }

/** One answer for whatever routes nowhere: an unknown domain, an unproved one, one without a connection. */
const noRoute = (): AppError =>
  new AppError(
    'not_found',
    'no_route',
    'We don’t know a company sign-in for this address. Check the spelling, or ask your IT team which address to use.',
  )

/** A null character, which PostgreSQL cannot keep as text, makes it no address either. */
const domainOf = (email: string): string | undefined =>
  /^[^\s@]+@[^\s@]+$/.test(email) && !email.includes('\0')
    ? email.slice(email.indexOf('@') + 1).toLowerCase()
    : undefined

/** Home realm discovery: from a hint to the one enabled connection that answers for it. */
export const createHomeRealm = ({
  organisations,
  connections,
}: {
  organisations: Organisations
  connections: Connections
}) => {
  const openFor = async (ctx: OrgCtx, assigned: string | null): Promise<HomeRealm> => {
    const connectionId = await connections.forDomain(ctx, assigned)
    if (connectionId === undefined) throw noRoute()
    return { ctx, connectionId, opened: (await connections.open(ctx, connectionId)).opened }
  }

  const byEmail = async (ctx: Ctx, email: string, clientOrgId: string | null): Promise<HomeRealm> => {
    const domainName = domainOf(email)
    const orgId = domainName === undefined ? null : await lookUpOrg(ctx, 'org_of_domain', domainName)
    if (domainName === undefined || orgId === null || (clientOrgId ?? orgId) !== orgId) throw noRoute()
    return inTx(forOrg(ctx, orgId), async (tx) => {
      const domain = await organisations.findVerifiedDomain(tx, domainName)
      if (!domain) throw noRoute()
      return openFor(tx, domain.connectionId)
    })
  }

  const byOrg = async (ctx: Ctx, orgId: string, clientOrgId: string | null): Promise<HomeRealm> => {
    if ((clientOrgId ?? orgId) !== orgId) throw noRoute()
    return inTx(forOrg(ctx, orgId), (tx) => openFor(tx, null))
  }

  /**
   * @param clientOrgId the organisation of an app that serves only one
   * @throws AppError `not_found`/`no_route`
   */
  const discover = async (ctx: Ctx, hint: Hint, clientOrgId: string | null): Promise<HomeRealm> => {
    const found = await ('email' in hint
      ? byEmail(ctx, hint.email, clientOrgId)
      : byOrg(ctx, hint.orgId, clientOrgId))
    // What was found in a transaction is used after it.
    return { ...found, ctx: forOrg(ctx, found.ctx.orgId) }
  }

  return { discover }
}

export type HomeRealms = ReturnType<typeof createHomeRealm>
