import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import { uniqueViolation } from '../db/faults.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Domain, Organisation } from './organisation.ts'
import * as repo from './organisations.repo.ts'

export type Organisations = ReturnType<typeof createOrganisations>

const DOMAIN = /^(?=.{3,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/

/** @throws AppError `invalid`/`domain_malformed` */
const normaliseDomain = (name: string): string => {
  const normal = name.trim().toLowerCase().replace(/\.$/, '')
  if (!DOMAIN.test(normal)) {
    throw new AppError(
      'invalid',
      'domain_malformed',
      `“${name.slice(0, 100)}” is not a domain name. Example: example.com`,
    )
  }
  return normal
}

export const createOrganisations = ({ audit, clock }: { audit: Audit; clock: Clock }) => {
  const create = async (ctx: Ctx, { name }: { name: string }): Promise<Organisation> => {
    const trimmed = name.trim()
    if (trimmed.length === 0 || trimmed.length > 200) {
      throw new AppError(
        'invalid',
        'organisation_name',
        'An organisation needs a name of 1 to 200 characters.',
      )
    }
    const organisation = { id: newUuid(), name: trimmed, createdAt: clock.now() }
    return inTx(forOrg(ctx, organisation.id), async (tx) => {
      await repo.insert(tx, organisation)
      await audit.record(tx, {
        action: 'organisation.created',
        target: { type: 'organisation', id: organisation.id },
        facts: { name: trimmed },
      })
      return organisation
    })
  }

  const list = (ctx: Ctx): Promise<Organisation[]> => repo.list(ctx)

  /** @throws AppError `not_found`/`organisation_not_found` */
  const demand = async (ctx: Ctx, id: string): Promise<OrgCtx> => {
    if (!(await repo.exists(ctx, id))) {
      throw new AppError('not_found', 'organisation_not_found', 'There is no such organisation.')
    }
    return forOrg(ctx, id)
  }

  /** Takes everything of the organisation along; what remains is one line in the platform's own trail. */
  const remove = (ctx: Ctx, id: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      if (!(await repo.remove(tx, id))) {
        throw new AppError('not_found', 'organisation_not_found', 'There is no such organisation.')
      }
      await audit.recordForPlatform(tx, {
        action: 'organisation.deleted',
        target: { type: 'organisation', id },
      })
    })

  /**
   * Adds a domain. Unverified, it routes nobody.
   * @param verified an operator vouches for it (CLI); anyone else proves it by DNS
   * @throws AppError `invalid`/`domain_malformed` | `conflict`/`domain_taken`
   */
  const addDomain = (
    ctx: OrgCtx,
    {
      name,
      verified,
      connectionId = null,
    }: { name: string; verified: boolean; connectionId?: string | null },
  ): Promise<Domain> =>
    inTx(ctx, async (tx) => {
      const now = clock.now()
      const domain = {
        id: newUuid(),
        name: normaliseDomain(name),
        connectionId,
        verifiedAt: verified ? now : null,
      }
      try {
        await repo.insertDomain(tx, domain, now)
      } catch (error) {
        if (uniqueViolation(error) === null) throw error
        throw new AppError('conflict', 'domain_taken', `The domain ${domain.name} is already claimed.`)
      }
      await audit.record(tx, {
        action: 'domain.added',
        target: { type: 'domain', id: domain.id },
        facts: { name: domain.name, verified },
      })
      return domain
    })

  /** Lets one connection answer for a domain of the organisation. @throws AppError `not_found`/`domain_not_found` */
  const assignDomain = (ctx: OrgCtx, name: string, connectionId: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      const id = await repo.assignDomain(tx, normaliseDomain(name), connectionId)
      if (id === undefined)
        throw new AppError('not_found', 'domain_not_found', 'The organisation has no such domain.')
      await audit.record(tx, {
        action: 'domain.assigned',
        target: { type: 'domain', id },
        facts: { connection: connectionId },
      })
    })

  const findVerifiedDomain = (ctx: OrgCtx, name: string): Promise<Domain | undefined> =>
    inTx(ctx, (tx) => repo.findVerifiedDomain(tx, name))

  return { create, list, demand, remove, addDomain, assignDomain, findVerifiedDomain }
}
