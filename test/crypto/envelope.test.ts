import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { OrgCtx } from '../../src/core/ctx.ts'
import { newUuid } from '../../src/core/ids.ts'
import { createEnvelope, type Place } from '../../src/crypto/envelope.ts'
import { forOrg, inTx } from '../../src/db/transaction.ts'
import { testDatabase } from '../support/database.ts'

const db = testDatabase()
const [acme, globex] = [newUuid(), newUuid()]
const kek = randomBytes(32)
const envelope = createEnvelope({ kek })

const place: Place = { table: 'connections', column: 'secrets_sealed', row: newUuid() }

const of = (orgId: string): OrgCtx => forOrg(db.ctx(), orgId)

const seal = (orgId: string, at: Place, secret: string) =>
  inTx(of(orgId), (tx) => envelope.seal(tx, at, secret))

const open = (orgId: string, at: Place, sealed: Buffer, using = envelope) =>
  inTx(of(orgId), async (tx) => (await using.open(tx, at, sealed)).toString())

const sealForPlatform = (at: Place, secret: string) =>
  inTx(db.ctx(), (tx) => envelope.sealForPlatform(tx, at, secret))

const unsealingFailed = { kind: 'internal', code: 'unsealing_failed' }

beforeAll(async () => {
  await db.app('organisations').insert([
    { id: acme, name: 'Acme' },
    { id: globex, name: 'Globex' },
  ])
})

describe('a secret of an organisation', () => {
  test('opens where it was sealed, in this process and in one that has only the master key', async () => {
    const sealed = await seal(acme, place, 'client secret')
    expect(sealed.includes('client secret')).toBe(false)
    expect(await open(acme, place, sealed)).toBe('client secret')
    expect(await open(acme, place, sealed, createEnvelope({ kek }))).toBe('client secret')
  })

  test.each([
    ['row', { ...place, row: newUuid() }],
    ['column', { ...place, column: 'config' }],
    ['table', { ...place, table: 'directories' }],
  ])('moved to another %s does not open', async (_name, elsewhere) => {
    const sealed = await seal(acme, place, 'client secret')
    await expect(open(acme, elsewhere, sealed)).rejects.toMatchObject(unsealingFailed)
    expect(await open(acme, place, sealed)).toBe('client secret')
  })

  test('moved to another organisation does not open', async () => {
    const sealed = await seal(acme, place, 'client secret')
    await seal(globex, place, 'so that there is a key')
    await expect(open(globex, place, sealed)).rejects.toMatchObject(unsealingFailed)
  })

  test('moved to another organisation together with its key does not open', async () => {
    const sealed = await seal(acme, place, 'client secret')
    const stolen = await db.owner('organisation_keys').where({ org_id: acme })
    await db.owner('organisation_keys').insert(stolen.map((row) => ({ ...row, org_id: globex })))
    try {
      // With the key unwrapped and kept since it was sealed, and with nothing kept.
      await expect(open(globex, place, sealed)).rejects.toMatchObject(unsealingFailed)
      await expect(open(globex, place, sealed, createEnvelope({ kek }))).rejects.toMatchObject(
        unsealingFailed,
      )
    } finally {
      for (const { id } of stolen) await db.owner('organisation_keys').where({ org_id: globex, id }).delete()
    }
  })

  test('does not open for the platform, nor the platform’s for an organisation', async () => {
    const [theirs, ours] = [await seal(acme, place, 'theirs'), await sealForPlatform(place, 'ours')]
    await expect(envelope.openForPlatform(db.ctx(), place, theirs)).rejects.toMatchObject(unsealingFailed)
    await expect(open(acme, place, ours)).rejects.toMatchObject(unsealingFailed)
    expect((await envelope.openForPlatform(db.ctx(), place, ours)).toString()).toBe('ours')
  })

  test('does not open under another master key', async () => {
    const sealed = await seal(acme, place, 'client secret')
    const stranger = createEnvelope({ kek: randomBytes(32) })
    await expect(open(acme, place, sealed, stranger)).rejects.toMatchObject(unsealingFailed)
  })

  test.each([
    ['its key’s ID', 0],
    ['its nonce', 16],
    ['its ciphertext', 16 + 12],
    ['its tag', -1],
  ])('does not open with one bit flipped in %s', async (_name, at) => {
    const sealed = await seal(acme, place, 'client secret')
    const index = at < 0 ? sealed.length + at : at
    sealed[index] = (sealed[index] as number) ^ 1
    await expect(open(acme, place, sealed)).rejects.toMatchObject(unsealingFailed)
  })

  test.each([0, 3, 16, 20])('does not open where only %i bytes of it are left', async (length) => {
    const sealed = await seal(acme, place, 'client secret')
    await expect(open(acme, place, sealed.subarray(0, length))).rejects.toMatchObject(unsealingFailed)
  })

  test('sealed while its transaction is lost leaves no key that a later one would miss', async () => {
    const lost = newUuid()
    await db.app('organisations').insert({ id: lost, name: 'Lost' })
    const failing = inTx(of(lost), async (tx) => {
      await envelope.seal(tx, place, 'never kept')
      throw new Error('on purpose')
    })
    await expect(failing).rejects.toThrow('on purpose')
    const sealed = await seal(lost, place, 'kept')
    expect(await open(lost, place, sealed, createEnvelope({ kek }))).toBe('kept')
  })

  test('sealed by twenty first uses at once opens, each of them', async () => {
    const fresh = newUuid()
    await db.app('organisations').insert({ id: fresh, name: 'Fresh' })
    const words = Array.from({ length: 20 }, (_, index) => `secret ${index}`)
    const sealed = await Promise.all(words.map((word) => seal(fresh, place, word)))
    const reader = createEnvelope({ kek })
    expect(await Promise.all(sealed.map((each) => open(fresh, place, each, reader)))).toEqual(words)
  })
})

describe('keys at rest', () => {
  test('are one per organisation, wrapped, and another organisation’s are out of sight', async () => {
    await seal(acme, place, 'one')
    await seal(acme, place, 'two')
    const seen = await inTx(of(acme), (tx) => tx.db('organisation_keys').select('org_id', 'wrapped'))
    expect(seen).toEqual([{ org_id: acme, wrapped: expect.any(Buffer) }])
    // Nonce, 32 bytes of key, tag: never the key alone.
    expect(seen[0].wrapped).toHaveLength(12 + 32 + 16)
  })
})

describe('the envelope', () => {
  test.each([0, 16, 31, 33])('refuses a master key of %i bytes', (length) => {
    expect(() => createEnvelope({ kek: Buffer.alloc(length) })).toThrow(
      expect.objectContaining({ kind: 'invalid', code: 'master_key' }),
    )
  })
})
