import { beforeAll, describe, expect, test } from 'vitest'
import type { Ctx, OrgCtx } from '../../src/core/ctx.ts'
import { newUuid } from '../../src/core/ids.ts'
import { uniqueViolation } from '../../src/db/faults.ts'
import { forOrg, inTx, lookUpOrg } from '../../src/db/transaction.ts'
import { testDatabase } from '../support/database.ts'

const [acme, globex] = [newUuid(), newUuid()]

const tenantOf = async ({ db }: Ctx): Promise<string | null> => {
  const { rows } = await db.raw(`select current_setting('app.org_id', true) as org`)
  return rows[0].org
}

const backendOf = async ({ db }: Ctx): Promise<number> => {
  const { rows } = await db.raw('select pg_backend_pid() as pid')
  return rows[0].pid
}

const addDomain = async (ctx: OrgCtx, name: string): Promise<void> => {
  await inTx(ctx, (tx) => tx.db('domains').insert({ org_id: ctx.orgId, id: newUuid(), name }))
}

const domainsOf = async (ctx: OrgCtx): Promise<string[]> =>
  inTx(ctx, (tx) => tx.db('domains').orderBy('name').pluck('name'))

describe('a transaction', () => {
  const db = testDatabase({ poolSize: 1 })
  const of = (orgId: string): OrgCtx => forOrg(db.ctx(), orgId)

  beforeAll(async () => {
    await db.app('organisations').insert([
      { id: acme, name: 'Acme' },
      { id: globex, name: 'Globex' },
    ])
  })

  test('has its tenant, and the connection has forgotten it when the next one takes it', async () => {
    const [tenant, backend] = await inTx(of(acme), async (tx) => [await tenantOf(tx), await backendOf(tx)])
    expect(tenant).toBe(acme)
    expect(await backendOf(db.ctx())).toBe(backend)
    expect(await tenantOf(db.ctx())).toBe('')
    expect(await inTx(db.ctx(), tenantOf)).toBe('')
    expect(await inTx(of(globex), tenantOf)).toBe(globex)
  })

  test('forgets its tenant when it fails, too', async () => {
    await expect(
      inTx(of(acme), async () => {
        throw new Error('on purpose')
      }),
    ).rejects.toThrow('on purpose')
    expect(await tenantOf(db.ctx())).toBe('')
  })

  test('is joined by one begun inside it: both are kept together', async () => {
    await inTx(of(acme), async (tx) => {
      // A pool of one: an inner transaction of its own would wait for ever.
      await addDomain(tx, 'inner.example')
      expect(await inTx(tx, tenantOf)).toBe(acme)
    })
    expect(await domainsOf(of(acme))).toContain('inner.example')
  })

  test('is joined by one begun inside it: both are lost together', async () => {
    const outer = inTx(of(acme), async (tx) => {
      await addDomain(tx, 'lost.example')
      throw new Error('after the inner one')
    })
    await expect(outer).rejects.toThrow('after the inner one')
    expect(await domainsOf(of(acme))).not.toContain('lost.example')
  })

  test('without a tenant takes the first that comes, and no second', async () => {
    await inTx(db.ctx(), async (tx) => {
      expect(await inTx(forOrg(tx, acme), tenantOf)).toBe(acme)
      expect(await inTx(forOrg(tx, acme), tenantOf)).toBe(acme)
      await expect(inTx(forOrg(tx, globex), tenantOf)).rejects.toMatchObject({ code: 'tenants_mixed' })
    })
  })

  test('of one organisation is not entered for another, and nothing of it is kept if it was', async () => {
    const mixed = inTx(of(acme), async (tx) => {
      await addDomain(tx, 'mixed.example')
      await addDomain(forOrg(tx, globex), 'mixed.example')
    })
    await expect(mixed).rejects.toMatchObject({ kind: 'internal', code: 'tenants_mixed' })
    expect(await domainsOf(of(acme))).not.toContain('mixed.example')
    expect(await domainsOf(of(globex))).not.toContain('mixed.example')
  })

  test('that violates a unique key rolls back everything before it', async () => {
    await addDomain(of(acme), 'taken.example')
    const twice = inTx(of(acme), async (tx) => {
      await addDomain(tx, 'before.example')
      await addDomain(tx, 'taken.example')
    })
    await expect(twice).rejects.toSatisfy(
      (error: unknown) => uniqueViolation(error) === 'domains_org_id_name_key',
    )
    expect(await domainsOf(of(acme))).not.toContain('before.example')
    await addDomain(of(globex), 'taken.example')
    expect(await domainsOf(of(globex))).toContain('taken.example')
  })
})

describe('before the tenant is known', () => {
  const db = testDatabase()
  const connection = newUuid()

  beforeAll(async () => {
    await db.app('organisations').insert({ id: acme, name: 'Acme' })
    await inTx(forOrg(db.ctx(), acme), async (tx) => {
      await tx.db('connections').insert({
        org_id: acme,
        id: connection,
        type: 'saml',
        name: 'Okta',
        status: 'draft',
        config: '{}',
      })
      await tx.db('domains').insert([
        { org_id: acme, id: newUuid(), name: 'acme.example', verified_at: new Date() },
        { org_id: acme, id: newUuid(), name: 'claimed.example' },
      ])
    })
  })

  test('a look-up gives the organisation and no other column can be read', async () => {
    expect(await lookUpOrg(db.ctx(), 'org_of_connection', connection)).toBe(acme)
    expect(await db.app('connections').select('id')).toEqual([])
  })

  test('a look-up of what does not exist gives nothing', async () => {
    expect(await lookUpOrg(db.ctx(), 'org_of_connection', newUuid())).toBeNull()
    expect(await lookUpOrg(db.ctx(), 'org_of_user', connection)).toBeNull()
  })

  test('a verified domain leads to its organisation, a merely claimed one to nobody', async () => {
    expect(await lookUpOrg(db.ctx(), 'org_of_domain', 'acme.example')).toBe(acme)
    expect(await lookUpOrg(db.ctx(), 'org_of_domain', 'claimed.example')).toBeNull()
  })
})

describe('four hundred transactions of fifty tenants on four connections', () => {
  const db = testDatabase({ poolSize: 4 })
  const orgs = Array.from({ length: 50 }, newUuid)

  beforeAll(async () => {
    await db.owner('organisations').insert(orgs.map((id) => ({ id, name: id })))
    await db.owner('domains').insert(orgs.map((id) => ({ org_id: id, id: newUuid(), name: `${id}.example` })))
  })

  const look = async (ctx: Ctx): Promise<unknown[]> => [
    // A connection that nobody used yet reads NULL where a used one reads ''.
    (await tenantOf(ctx)) ?? '',
    await ctx.db('domains').pluck('name'),
  ]

  /** What one transaction saw, beside what it should have seen. */
  const turn = async (number: number): Promise<{ seen: unknown[]; wanted: unknown[] }> => {
    // Every eighth belongs to nobody, and every fifth fails: neither may leave or find a trace.
    if (number % 8 === 0) return { seen: await inTx(db.ctx(), look), wanted: ['', []] }
    const org = orgs[(number * 7) % orgs.length] as string
    const fails = number % 5 === 0
    const seen = await inTx(forOrg(db.ctx(), org), async (tx) => {
      const first = await look(tx)
      if (fails) await tx.db.raw('select 1 / 0')
      await tx.db.raw('select pg_sleep(0.001)')
      return [...first, ...(await look(tx))]
    }).catch((error: { code?: string }) => [error.code])
    const own = [org, [`${org}.example`]]
    return { seen, wanted: fails ? ['22012'] : [...own, ...own] }
  }

  test('each see their own tenant and its rows, before and after others had their turn', async () => {
    // Forty at a time, so that none waits for a connection longer than the pool lets it.
    const lanes = Array.from({ length: 40 }, async (_, lane) => {
      for (let round = 0; round < 10; round++) {
        const { seen, wanted } = await turn(round * 40 + lane)
        expect(seen).toEqual(wanted)
      }
    })
    await Promise.all(lanes)
  })
})
