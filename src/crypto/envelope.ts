/**
 * Envelope encryption for secrets that we must present ourselves: the KEK wraps one key per organisation (and
 * one for the platform), that key seals records. Owns `organisation_keys` and `platform_keys`. Invariant: the
 * additional data of every ciphertext is its organisation, table, column and row, so a ciphertext moved to
 * another row, column or tenant does not open.
 */
import { randomBytes } from 'node:crypto'
import type { Ctx, OrgTx, Tx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import * as repo from './data-keys.repo.ts'
import { openBytes, sealBytes } from './seal.ts'

/** Where a sealed value lives. */
export type Place = { table: string; column: string; row: string }

export type Envelope = ReturnType<typeof createEnvelope>

const PLATFORM = 'platform'
const KEY_ID_BYTES = 16

const aadOf = (owner: string, place: Place): string =>
  `portico/record/${owner}/${place.table}/${place.column}/${place.row}`

const wrapAad = (owner: string, keyId: string): string => `portico/data-key/${owner}/${keyId}`

const idBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')

const unopenable = () => new AppError('internal', 'unsealing_failed', 'A stored secret could not be opened.')

/** @param kek 32 bytes; the file or KMS key that everything hangs on */
export const createEnvelope = ({ kek }: { kek: Buffer }) => {
  if (kek.length !== 32) throw new AppError('invalid', 'master_key', 'The master key must be 32 bytes.')

  // Unwrapped keys are kept, by owner: a key's bytes never change under its ID, so there is nothing to invalidate.
  const unwrapped = new Map<string, Buffer>()

  const unwrap = (owner: string, row: repo.DataKeyRow): Buffer => {
    const kept = unwrapped.get(`${owner}/${row.id}`)
    if (kept) return kept
    const key = openBytes(kek, wrapAad(owner, row.id), row.wrapped)
    unwrapped.set(`${owner}/${row.id}`, key)
    return key
  }

  const makeKey = (owner: string): { row: repo.DataKeyRow } => {
    const id = newUuid()
    return { row: { id, wrapped: sealBytes(kek, wrapAad(owner, id), randomBytes(32)) } }
  }

  const sealUnder = (owner: string, row: repo.DataKeyRow, place: Place, plaintext: Buffer): Buffer =>
    Buffer.concat([idBytes(row.id), sealBytes(unwrap(owner, row), aadOf(owner, place), plaintext)])

  /** With the key at hand no query is made; `find` reads it, under row security where it is an organisation's. */
  const openWith = async (
    owner: string,
    place: Place,
    sealed: Buffer,
    find: (keyId: string) => Promise<repo.DataKeyRow | undefined>,
  ): Promise<Buffer> => {
    const keyId = keyIdOf(sealed)
    let key = unwrapped.get(`${owner}/${keyId}`)
    if (!key) {
      const row = await find(keyId)
      if (!row) throw unopenable()
      key = unwrap(owner, row)
    }
    return openBytes(key, aadOf(owner, place), sealed.subarray(KEY_ID_BYTES))
  }

  const keyIdOf = (sealed: Buffer): string => {
    if (sealed.length < KEY_ID_BYTES) throw unopenable()
    const hex = sealed.subarray(0, KEY_ID_BYTES).toString('hex')
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  }

  /** Seals for the context's organisation; its key is made on first use. */
  const seal = async (ctx: OrgTx, place: Place, plaintext: Buffer | string): Promise<Buffer> => {
    const row =
      (await repo.currentOrganisationKey(ctx)) ??
      (await repo.insertOrganisationKey(ctx, makeKey(ctx.orgId).row))
    return sealUnder(ctx.orgId, row, place, Buffer.from(plaintext))
  }

  /** @throws AppError `internal`/`unsealing_failed` */
  const open = (ctx: OrgTx, place: Place, sealed: Buffer): Promise<Buffer> => {
    return openWith(ctx.orgId, place, sealed, (keyId) => repo.organisationKey(ctx, keyId))
  }

  /** Seals for the platform itself (signing keys). */
  const sealForPlatform = async (ctx: Tx<Ctx>, place: Place, plaintext: Buffer | string): Promise<Buffer> => {
    const row =
      (await repo.currentPlatformKey(ctx)) ?? (await repo.insertPlatformKey(ctx, makeKey(PLATFORM).row))
    return sealUnder(PLATFORM, row, place, Buffer.from(plaintext))
  }

  /** @throws AppError `internal`/`unsealing_failed` */
  const openForPlatform = (ctx: Ctx, place: Place, sealed: Buffer): Promise<Buffer> => {
    return openWith(PLATFORM, place, sealed, (keyId) => repo.platformKey(ctx, keyId))
  }

  return { seal, open, sealForPlatform, openForPlatform }
}
