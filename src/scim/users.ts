import { isDeepStrictEqual } from 'node:util'
import type { OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { fromId } from '../core/ids.ts'
import { inTx } from '../db/transaction.ts'
import type { User, UserFields } from '../directory/user.ts'
import type { Users } from '../directory/users.ts'
import type { DirectoryCtx } from './directories.ts'
import type { JsonObject } from './json.ts'
import { readUserQuery } from './list-query.ts'
import { applyPatch } from './patch.ts'
import { demandSchema, readOperations } from './patch-request.ts'
import { profileOf } from './profiles.ts'
import { userType } from './resource-types.ts'
import { entityTag, readUserDocument, toUserDocument, toUserFields } from './user-resource.ts'
import * as repo from './users.repo.ts'

export type ScimUsers = ReturnType<typeof createScimUsers>

export type UserPage = { total: number; startIndex: number; users: User[] }

const rulesOf = (ctx: DirectoryCtx) => profileOf(ctx.directory.profile)

/** RFC 7644 section 3.14 and RFC 9110 section 13.1.1, compared weakly. */
export const tagMatches = (header: string, user: User): boolean =>
  header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === '*' || tag.replace(/^W\//, '') === entityTag(user).replace(/^W\//, ''))

const demandVersion = (user: User, ifMatch: string): void => {
  if (ifMatch !== '' && !tagMatches(ifMatch, user)) {
    throw new AppError(
      'precondition',
      'version_mismatch',
      'The user has changed since the version in If-Match.',
    )
  }
}

/** The SCIM verbs on the users of the directory that asks. The rules of identity are `directory/users`. */
export const createScimUsers = ({ users }: { users: Users }) => {
  const within = (ctx: DirectoryCtx) => ({ directoryId: ctx.directory.id })

  const write = async (tx: OrgTx, before: User, after: UserFields): Promise<User> => {
    // Neither version nor lastModified moves for a change that changes nothing (RFC 7644 section 3.5.2.1).
    const kept = isDeepStrictEqual(after.resource, before.resource)
      ? { ...after, resource: before.resource }
      : after
    return users.update(tx, before, kept)
  }

  /** @throws AppError `invalid`; `conflict`/`user_name_taken` | `external_id_taken` */
  const create = (ctx: DirectoryCtx, body: JsonObject): Promise<User> => {
    const rules = rulesOf(ctx)
    demandSchema(body, userType.core.schema.id, rules.missingSchemas)
    const document = { active: true, ...readUserDocument(body, rules) }
    return users.create(ctx, toUserFields(document), within(ctx))
  }

  /** @throws AppError `not_found` */
  const get = (ctx: DirectoryCtx, id: string): Promise<User> => users.get(ctx, fromId('usr', id), within(ctx))

  /** @throws AppError `invalid`/`invalid_filter` | `invalid_value` */
  const list = (
    ctx: DirectoryCtx,
    query: Readonly<Record<string, string | undefined>>,
  ): Promise<UserPage> => {
    const { conditions, startIndex, count } = readUserQuery(query, rulesOf(ctx))
    return inTx(ctx, async (tx) => {
      const total = await repo.count(tx, ctx.directory.id, conditions)
      const wanted = count > 0 && startIndex <= total
      const page = { offset: startIndex - 1, limit: count }
      return {
        total,
        startIndex,
        users: wanted ? await repo.page(tx, ctx.directory.id, conditions, page) : [],
      }
    })
  }

  /**
   * PUT: what the body leaves out is unassigned (RFC 7644 section 3.5.1), save `active`: leaving it out must not let
   * someone back in.
   * @throws AppError `not_found`, `precondition`, `invalid`, `conflict`
   */
  const replace = (ctx: DirectoryCtx, id: string, body: JsonObject, ifMatch: string): Promise<User> => {
    const rules = rulesOf(ctx)
    demandSchema(body, userType.core.schema.id, rules.missingSchemas)
    const document = readUserDocument(body, rules)
    return inTx(ctx, async (tx) => {
      const before = await users.lock(tx, fromId('usr', id), within(ctx))
      demandVersion(before, ifMatch)
      return write(tx, before, toUserFields({ active: before.active, ...document }))
    })
  }

  /** @throws AppError `not_found`, `precondition`, `invalid`, `conflict`, `too_large` */
  const patch = (ctx: DirectoryCtx, id: string, body: JsonObject, ifMatch: string): Promise<User> => {
    const rules = rulesOf(ctx)
    const operations = readOperations(body, rules)
    return inTx(ctx, async (tx) => {
      const before = await users.lock(tx, fromId('usr', id), within(ctx))
      demandVersion(before, ifMatch)
      return write(tx, before, toUserFields(applyPatch(userType, toUserDocument(before), operations, rules)))
    })
  }

  /** @throws AppError `not_found`, `precondition` */
  const remove = (ctx: DirectoryCtx, id: string, ifMatch: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      const user = await users.lock(tx, fromId('usr', id), within(ctx))
      demandVersion(user, ifMatch)
      await users.remove(tx, user.id, within(ctx))
    })

  return { create, get, list, replace, patch, remove }
}
