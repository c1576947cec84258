/**
 * Signing keys, access and ID tokens, authorization codes, refresh families, and the end of sessions. Owns
 * `signing_keys`, `authorization_codes`, `refresh_families`, `refresh_tokens`. Invariants: a key is published before it
 * signs and until its last token has expired; a code and a refresh token are spent by one conditional statement; nothing
 * is minted for a user after their deactivation has committed.
 */
import {
  calculateJwkThumbprint,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type JSONWebKeySet,
  type JWK,
} from 'jose'
import type { Audit } from '../audit/audit.ts'
import { addSeconds, type Clock } from '../core/clock.ts'
import type { Ctx, Tx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import type { Envelope, Place } from '../crypto/envelope.ts'
import { inTx } from '../db/transaction.ts'
import * as repo from './signing-keys.repo.ts'

export const SIGNING_ALGORITHM = 'ES256'

/** How long verifiers may keep the JWKS (Cache-Control), hence how long a key is published before it signs. */
export const JWKS_MAX_AGE_SECONDS = 300

/** Another node may sign with the key it has cached for this long after a rotation. */
const KEY_CACHE_SECONDS = 10

/** Longer than the life of any token plus every cache on the way. */
const RETIRED_PUBLICATION_SECONDS = 3600

type SigningKey = { kid: string; privateKey: CryptoKey }

export type SigningKeys = ReturnType<typeof createSigningKeys>

const placeOf = (id: string): Place => ({ table: 'signing_keys', column: 'private_sealed', row: id })

const toPublicJwk = (row: repo.SigningKeyRow): JWK => ({
  ...row.public_jwk,
  kid: row.kid,
  use: 'sig',
  alg: row.algorithm,
})

export const createSigningKeys = ({
  envelope,
  clock,
  audit,
}: {
  envelope: Envelope
  clock: Clock
  audit: Audit
}) => {
  const makeKey = async (tx: Tx<Ctx>, state: 'next' | 'active', now: Date): Promise<string> => {
    const { privateKey, publicKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true })
    const publicJwk = await exportJWK(publicKey)
    const id = newUuid()
    const kid = await calculateJwkThumbprint(publicJwk)
    await repo.insert(tx, {
      id,
      kid,
      algorithm: SIGNING_ALGORITHM,
      public_jwk: publicJwk,
      private_sealed: await envelope.sealForPlatform(tx, placeOf(id), await exportPKCS8(privateKey)),
      state,
      published_at: now,
      activated_at: state === 'active' ? now : null,
      retired_at: null,
    })
    return kid
  }

  /** Makes the first pair of keys; on any later start does nothing. */
  const ensure = (ctx: Ctx): Promise<void> =>
    inTx(ctx, async (tx) => {
      await repo.holdRotationLock(tx)
      const states = new Set((await repo.list(tx)).map((row) => row.state))
      const now = clock.now()
      if (!states.has('active')) await makeKey(tx, 'active', now)
      if (!states.has('next')) await makeKey(tx, 'next', now)
    })

  /**
   * `next` becomes active, active is retired but stays published, and a new `next` is published.
   * @param force rotate although verifiers may not have fetched the next key yet
   * @throws AppError `conflict`/`next_key_too_young`
   */
  const rotate = (
    ctx: Ctx,
    { force = false } = {},
  ): Promise<{ active: string; next: string; retired: string }> =>
    inTx(ctx, async (tx) => {
      await repo.holdRotationLock(tx)
      const rows = await repo.list(tx)
      const active = rows.find((row) => row.state === 'active')
      const next = rows.find((row) => row.state === 'next')
      if (!active || !next)
        throw new AppError(
          'conflict',
          'no_signing_keys',
          'There are no signing keys yet; they are made when the broker first starts.',
        )
      const now = clock.now()
      const ready = addSeconds(next.published_at, JWKS_MAX_AGE_SECONDS)
      if (ready > now && !force) {
        throw new AppError(
          'conflict',
          'next_key_too_young',
          `Services that cache the JWKS may not know the next key before ${ready.toISOString()}. Rotate then, or now with --force.`,
        )
      }
      await repo.deleteRetiredBefore(tx, addSeconds(now, -RETIRED_PUBLICATION_SECONDS))
      await repo.retire(tx, active.id, now)
      await repo.activate(tx, next.id, now)
      const made = await makeKey(tx, 'next', now)
      await audit.recordForPlatform(tx, {
        action: 'signing_key.rotated',
        facts: { active: next.kid, next: made, retired: active.kid, forced: ready > now },
      })
      kept = undefined
      return { active: next.kid, next: made, retired: active.kid }
    })

  let kept: { key: SigningKey; until: number } | undefined

  /** The key that signs now. Kept for ten seconds; the one before stays published for an hour. */
  const current = async (ctx: Ctx): Promise<SigningKey> => {
    const now = clock.now().getTime()
    if (kept && kept.until > now) return kept.key
    const row = (await repo.list(ctx)).find((candidate) => candidate.state === 'active')
    if (!row) throw new AppError('unavailable', 'no_signing_keys', 'There is no signing key yet.')
    const pem = (await envelope.openForPlatform(ctx, placeOf(row.id), row.private_sealed)).toString()
    const key = { kid: row.kid, privateKey: await importPKCS8(pem, row.algorithm) }
    kept = { key, until: now + KEY_CACHE_SECONDS * 1000 }
    return key
  }

  /** The JWKS (RFC 7517 section 5): next, active, and retired ones whose tokens may still live. */
  const publicKeys = async (ctx: Ctx): Promise<JSONWebKeySet> => {
    const horizon = addSeconds(clock.now(), -RETIRED_PUBLICATION_SECONDS)
    const rows = await repo.list(ctx)
    return {
      keys: rows.filter((row) => row.retired_at === null || row.retired_at > horizon).map(toPublicJwk),
    }
  }

  const states = async (ctx: Ctx) =>
    (await repo.list(ctx)).map(({ kid, algorithm, state, published_at, activated_at, retired_at }) => ({
      kid,
      algorithm,
      state,
      publishedAt: published_at,
      activatedAt: activated_at,
      retiredAt: retired_at,
    }))

  return { ensure, rotate, current, publicKeys, states }
}
