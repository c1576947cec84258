import type { JWK } from 'jose'
import type { Ctx, Tx } from '../core/ctx.ts'

export type SigningKeyRow = {
  id: string
  kid: string
  algorithm: string
  public_jwk: JWK
  private_sealed: Buffer
  state: 'next' | 'active' | 'retired'
  published_at: Date
  activated_at: Date | null
  retired_at: Date | null
}

/** One rotation, or first creation, at a time in the whole installation. */
export const holdRotationLock = async (tx: Tx<Ctx>): Promise<void> => {
  await tx.db.raw(`select pg_advisory_xact_lock(hashtext('portico.signing_keys'))`)
}

export const list = (ctx: Ctx): Promise<SigningKeyRow[]> =>
  ctx.db<SigningKeyRow>('signing_keys').orderBy('id')

export const insert = async (tx: Tx<Ctx>, row: SigningKeyRow): Promise<void> => {
  await tx.db('signing_keys').insert({ ...row, public_jwk: JSON.stringify(row.public_jwk) })
}

export const retire = async (tx: Tx<Ctx>, id: string, now: Date): Promise<void> => {
  await tx.db('signing_keys').where({ id, state: 'active' }).update({ state: 'retired', retired_at: now })
}

export const activate = async (tx: Tx<Ctx>, id: string, now: Date): Promise<void> => {
  await tx.db('signing_keys').where({ id, state: 'next' }).update({ state: 'active', activated_at: now })
}

export const deleteRetiredBefore = async (tx: Tx<Ctx>, before: Date): Promise<void> => {
  await tx.db('signing_keys').where({ state: 'retired' }).andWhere('retired_at', '<', before).delete()
}
