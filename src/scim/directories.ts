/**
 * SCIM: what an IdP pushes users to. Owns `directories` (one source of one organisation) and `directory_tokens`; users
 * are written through `directory/users` alone. Invariants: the tenant and the directory come from the bearer token, the
 * URL only has to agree; a token is shown once and kept as a hash; nothing is answered but SCIM; a request is applied
 * as a whole or not at all.
 */
import type { Audit } from '../audit/audit.ts'
import { addSeconds, type Clock } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import { mintCredential, parseCredential } from '../crypto/credentials.ts'
import { equalBytes } from '../crypto/hash.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import * as repo from './directories.repo.ts'
import { type ProfileName, profileName } from './profiles.ts'

export type Directory = {
  /** UUID. */
  id: string
  profile: ProfileName
  /** The connection whose sign-ins are matched to this directory's users. UUID. */
  connectionId: string | null
  createdAt: Date
}

/** A context that a directory's token opened. */
export type DirectoryCtx = OrgCtx & { directory: { id: string; profile: ProfileName } }

export type Directories = ReturnType<typeof createDirectories>

const unauthenticated = (): AppError =>
  new AppError('unauthenticated', 'invalid_token', 'The bearer token is missing, wrong or no longer valid.')

const directoryNotFound = (): AppError =>
  new AppError('not_found', 'directory_not_found', 'There is no such directory.')

export const createDirectories = ({ clock, audit }: { clock: Clock; audit: Audit }) => {
  const addToken = async (tx: OrgTx, directoryId: string): Promise<string> => {
    const { id, token, hash } = mintCredential('scim', tx.orgId)
    await repo.insertToken(tx, { id, directoryId, hash, createdAt: clock.now() })
    return token
  }

  const lock = async (tx: OrgTx, id: string): Promise<void> => {
    if (!(await repo.lock(tx, id))) throw directoryNotFound()
  }

  /**
   * A new directory and its first token, which is never shown again.
   * @param connectionId UUID of the connection to pair it with
   * @throws AppError `invalid`/`unknown_profile`; `not_found`/`connection_not_found`
   */
  const create = (
    ctx: OrgCtx,
    { profile, connectionId = null }: { profile: string; connectionId?: string | null },
  ): Promise<{ id: string; token: string }> =>
    inTx(ctx, async (tx) => {
      const id = newUuid()
      const name = profileName(profile)
      if (connectionId !== null && !(await repo.connectionExists(tx, connectionId))) {
        throw new AppError('not_found', 'connection_not_found', 'There is no such connection.')
      }
      await repo.insert(tx, { id, profile: name, connectionId, createdAt: clock.now() })
      const token = await addToken(tx, id)
      await audit.record(tx, {
        action: 'directory.created',
        target: { type: 'directory', id },
        facts: { profile: name, connectionId },
      })
      return { id, token }
    })

  /**
   * A new token; the ones before it stop now, or after `overlapSeconds`.
   * @throws AppError `not_found`/`directory_not_found`
   */
  const rotateToken = (
    ctx: OrgCtx,
    id: string,
    { overlapSeconds = 0 }: { overlapSeconds?: number } = {},
  ): Promise<{ token: string }> =>
    inTx(ctx, async (tx) => {
      await lock(tx, id)
      const now = clock.now()
      const ended = await repo.endTokens(tx, id, now, addSeconds(now, overlapSeconds))
      const token = await addToken(tx, id)
      await audit.record(tx, {
        action: 'directory.token_rotated',
        target: { type: 'directory', id },
        facts: { ended, overlapSeconds },
      })
      return { token }
    })

  /**
   * Its tokens go with it; its users stay, as users of no directory, until someone decides about them.
   * @throws AppError `not_found`/`directory_not_found`
   */
  const remove = (ctx: OrgCtx, id: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      await lock(tx, id)
      await repo.remove(tx, id)
      await audit.record(tx, { action: 'directory.deleted', target: { type: 'directory', id } })
    })

  const list = (ctx: OrgCtx): Promise<Directory[]> =>
    inTx(ctx, async (tx) =>
      (await repo.all(tx)).map((row) => ({ ...row, profile: profileName(row.profile) })),
    )

  /**
   * The context that a bearer token opens.
   * @param directoryId UUID from the URL, or null where it held none
   * @throws AppError `unauthenticated`/`invalid_token`; `not_found`/`directory_not_found` where a good token asks for
   *   another directory: whether that one exists is not said
   */
  const authenticate = async (
    ctx: Ctx,
    bearer: string,
    directoryId: string | null,
  ): Promise<DirectoryCtx> => {
    const credential = parseCredential('scim', bearer)
    if (!credential?.orgId) throw unauthenticated()
    const { id, hash } = credential
    const org = forOrg(ctx, credential.orgId)
    const token = await inTx(org, (tx) => repo.findToken(tx, id, clock.now()))
    if (!token || !equalBytes(hash, token.hash)) throw unauthenticated()
    if (token.directoryId !== directoryId) throw directoryNotFound()
    return {
      ...org,
      actor: { type: 'directory', id: token.directoryId },
      directory: { id: token.directoryId, profile: profileName(token.profile) },
    }
  }

  return { create, rotateToken, delete: remove, list, authenticate }
}
