/**
 * The people of an organisation and what a change to them means. Owns `users`. Invariants: a user belongs to the
 * directory that made it; a user name is unique in its organisation; going inactive ends every session and token in
 * the same transaction; a deleted user stays as a tombstone that lets nobody in. Whoever changes a user, whether by
 * SCIM, page, API or CLI, passes through here.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import { uniqueViolation } from '../db/faults.ts'
import { inTx } from '../db/transaction.ts'
import type { EndSessions } from '../tokens/end-session.ts'
import type { User, UserFields, Within } from './user.ts'
import * as repo from './users.repo.ts'

export type Users = ReturnType<typeof createUsers>

const notFound = (): AppError => new AppError('not_found', 'user_not_found', 'There is no such user.')

const asConflict = (error: unknown): unknown => {
  const constraint = uniqueViolation(error)
  if (constraint === 'users_user_name') {
    return new AppError(
      'conflict',
      'user_name_taken',
      'A user with this userName exists in the organisation.',
    )
  }
  if (constraint === 'users_external_id') {
    return new AppError(
      'conflict',
      'external_id_taken',
      'A user with this externalId exists in the directory.',
    )
  }
  return error
}

/** @throws AppError `invalid`/`user_name` */
const demandUserName = ({ userName }: UserFields): void => {
  if (userName.length === 0 || userName.length > 512) {
    throw new AppError('invalid', 'user_name', 'A userName has 1 to 512 characters.')
  }
}

const changedNames = (before: UserFields, after: UserFields): string[] =>
  (Object.keys(after) as (keyof UserFields)[]).filter((name) => !isDeepStrictEqual(before[name], after[name]))

export const createUsers = ({
  audit,
  clock,
  endSessions,
}: {
  audit: Audit
  clock: Clock
  endSessions: EndSessions
}) => {
  /** @throws AppError `conflict`/`user_name_taken` | `external_id_taken`; `invalid`/`user_name` */
  const create = (ctx: OrgCtx, fields: UserFields, source: { directoryId: string | null }): Promise<User> =>
    inTx(ctx, async (tx) => {
      demandUserName(fields)
      const now = clock.now()
      const user: User = {
        ...fields,
        id: newUuid(),
        directoryId: source.directoryId,
        epoch: 0,
        version: 1,
        createdAt: now,
        updatedAt: now,
      }
      try {
        await repo.insert(tx, user)
      } catch (error) {
        throw asConflict(error)
      }
      // The tombstones of this person have done their work: a directory vouches for them again.
      if (source.directoryId !== null) await repo.liftTombstones(tx, user)
      await audit.record(tx, {
        action: 'user.created',
        target: { type: 'user', id: user.id },
        facts: { active: user.active, by: source.directoryId === null ? 'just_in_time' : 'directory' },
      })
      return user
    })

  /** @throws AppError `not_found`/`user_not_found`, also for a deleted user and for another directory's */
  const get = (ctx: OrgCtx, id: string, within: Within): Promise<User> =>
    inTx(ctx, async (tx) => {
      const user = await repo.find(tx, id, within)
      if (!user) throw notFound()
      return user
    })

  /** As `get`, and holds the row: changes to one user happen one after the other. */
  const lock = async (tx: OrgTx, id: string, within: Within): Promise<User> => {
    const user = await repo.findForUpdate(tx, id, within)
    if (!user) throw notFound()
    return user
  }

  const goInactive = async (tx: OrgTx, user: User): Promise<void> => {
    const ended = await endSessions.ofUser(tx, user.id, 'deactivated')
    await audit.record(tx, {
      action: 'user.deactivated',
      target: { type: 'user', id: user.id },
      facts: { sessionsEnded: ended },
    })
  }

  /**
   * Writes `after` over the locked `before`.
   * @throws AppError `conflict`/`user_name_taken` | `external_id_taken`; `invalid`/`user_name`
   */
  const update = async (tx: OrgTx, before: User, after: UserFields): Promise<User> => {
    demandUserName(after)
    const changed = changedNames(before, after)
    if (changed.length === 0) return before
    const deactivates = before.active && !after.active
    const user: User = {
      ...before,
      ...after,
      epoch: before.epoch + (deactivates ? 1 : 0),
      version: before.version + 1,
      updatedAt: clock.now(),
    }
    try {
      await repo.update(tx, user)
    } catch (error) {
      throw asConflict(error)
    }
    if (deactivates) await goInactive(tx, user)
    else if (!before.active && after.active) {
      // Nothing comes back with it: ended sessions and tokens stay ended.
      await audit.record(tx, { action: 'user.reactivated', target: { type: 'user', id: user.id } })
    }
    const others = changed.filter((name) => name !== 'active')
    if (others.length > 0) {
      await audit.record(tx, {
        action: 'user.updated',
        target: { type: 'user', id: user.id },
        facts: { changed: others },
      })
    }
    return user
  }

  const setActive = (ctx: OrgCtx, id: string, active: boolean): Promise<User> =>
    inTx(ctx, async (tx) => {
      const before = await lock(tx, id, undefined)
      return update(tx, before, { ...before, active })
    })

  /** Leaves a tombstone: who was deleted is not let in again until their directory creates them again. */
  const remove = (ctx: OrgCtx, id: string, within: Within): Promise<void> =>
    inTx(ctx, async (tx) => {
      const user = await lock(tx, id, within)
      await repo.bury(tx, user.id, clock.now())
      const ended = await endSessions.ofUser(tx, user.id, 'deleted')
      await audit.record(tx, {
        action: 'user.deleted',
        target: { type: 'user', id: user.id },
        facts: { sessionsEnded: ended },
      })
    })

  return { create, get, lock, update, setActive, remove }
}
