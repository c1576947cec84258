import { describe, expect, test } from 'vitest'
import { inTx } from '../../src/db/transaction.ts'
import type { LinkableIdentity } from '../../src/directory/linking.ts'
import { testDatabase } from '../support/database.ts'
import { identity, linkingIn, withExternalId, withUserName } from './support/linking.ts'

describe('users that a sign-in makes, just in time', () => {
  const db = testDatabase({ poolSize: 20 })
  const world = linkingIn(db)
  const { company, resolve, refusal, create, events } = world

  const newcomer = (domain: string) =>
    identity('s1', { email: `new@${domain}`, linkValues: withUserName(`new@${domain}`) })

  test.each([
    ['auto', false, true],
    ['auto', true, false],
    ['on', false, true],
    ['on', true, true],
    ['off', false, false],
    ['off', true, false],
  ] as const)(
    'with “%s” and a paired directory: %s, a newcomer is created: %s',
    async (justInTime, paired, made) => {
      const acme = await company()
      if (paired) await acme.directories(acme.connectionId)
      else await acme.directories(null)
      const who = newcomer(acme.domain)
      if (!made) {
        expect(await refusal(acme, who, { justInTime })).toBe('user_unknown')
        return
      }
      const user = await resolve(acme, who, { justInTime })
      expect(user).toMatchObject({
        userName: who.email,
        email: who.email,
        displayName: 'Ada Lovelace',
        directoryId: null,
        externalId: null,
        active: true,
      })
      expect((await resolve(acme, who, { justInTime: 'off' })).id).toBe(user.id)
      expect(await events(acme, 'user.created')).toMatchObject([
        { target_id: user.id, facts: { by: 'just_in_time' } },
      ])
    },
  )

  test('an address outside the verified domains is refused, unless guests are admitted', async () => {
    const acme = await company()
    await world.services.organisations.addDomain(acme.ctx, { name: `un-${acme.domain}`, verified: false })
    const outside = [
      'ada@elsewhere.test',
      `ada@un-${acme.domain}`,
      `ada@sub.${acme.domain}`,
      `ada@${acme.domain}.evil.test`,
    ]
    for (const email of outside) {
      expect(await refusal(acme, identity(email, { email }), { justInTime: 'on' })).toBe(
        'email_outside_domains',
      )
    }
    const [guest = ''] = outside
    const rules = { justInTime: 'on', admitGuests: true } as const
    expect((await resolve(acme, identity('g', { email: guest }), rules)).email).toBe(guest)
    const own = `ada@${acme.domain.toUpperCase()}`
    expect((await resolve(acme, identity('o', { email: own }), { justInTime: 'on' })).email).toBe(own)
  })

  test('somebody without an address is refused, unless guests are admitted', async () => {
    const acme = await company()
    expect(await refusal(acme, identity('s1'), { justInTime: 'on' })).toBe('email_outside_domains')
    const user = await resolve(acme, identity('s1'), { justInTime: 'on', admitGuests: true })
    expect(user).toMatchObject({ userName: 's1', email: null })
  })

  test('a known user whose address has left the domains is refused as well', async () => {
    const acme = await company()
    const user = await resolve(acme, newcomer(acme.domain), { justInTime: 'on' })
    const moved = identity('s1', { email: 'new@elsewhere.test' })
    expect(await refusal(acme, moved)).toBe('email_outside_domains')
    expect((await resolve(acme, moved, { admitGuests: true })).id).toBe(user.id)
  })

  test('a user name that is taken is not taken over', async () => {
    const acme = await company()
    const taken = await create(acme, { userName: `NEW@${acme.domain}` }, await acme.directories(null))
    expect(await refusal(acme, newcomer(acme.domain), { justInTime: 'on' })).toBe('link_conflict')
    expect(await inTx(acme.ctx, (tx) => tx.db('identities').where({ user_id: taken.id }))).toEqual([])
  })

  test('a tombstone lets nobody in until their directory creates them again', async () => {
    const acme = await company()
    const directoryId = await acme.directories(acme.connectionId)
    const fields = { userName: `new@${acme.domain}`, email: `new@${acme.domain}`, externalId: 'e1' }
    const first = await create(acme, fields, directoryId)
    const who = { ...newcomer(acme.domain), linkValues: { externalId: 'e1', userName: fields.userName } }
    await resolve(acme, who)
    await world.services.users.remove(acme.ctx, first.id, { directoryId })
    const rules = { justInTime: 'on', admitGuests: true, linkByEmail: true } as const
    // As the known subject, and as a new one with the same name, address or externalId.
    expect(await refusal(acme, who, rules)).toBe('user_deleted')
    expect(await refusal(acme, { ...who, subject: 's2' }, rules)).toBe('user_deleted')
    const traits: Partial<LinkableIdentity>[] = [
      { linkValues: withUserName(fields.userName.toUpperCase()) },
      { linkValues: withExternalId('e1') },
      { email: fields.email },
    ]
    for (const [index, trait] of traits.entries()) {
      expect(await refusal(acme, identity(`t${index}`, trait), rules)).toBe('user_deleted')
    }
    expect((await resolve(acme, identity('else'), rules)).id).not.toBe(first.id)

    const second = await create(acme, fields, directoryId)
    expect(second.id).not.toBe(first.id)
    expect((await resolve(acme, who)).id).toBe(second.id)
  })

  test('eight tabs that finish the first sign-in at once are one person', async () => {
    const acme = await company()
    const email = `new@${acme.domain}`
    const rules = { justInTime: 'on' } as const
    const users = await Promise.all(
      Array.from({ length: 8 }, () => resolve(acme, identity('s1', { email }), rules)),
    )
    expect(new Set(users.map(({ id }) => id)).size).toBe(1)
    expect(await events(acme, 'identity.linked')).toHaveLength(1)

    const made = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    const who = identity('s2', { linkValues: withExternalId('e1') })
    const linked = await Promise.all(Array.from({ length: 8 }, () => resolve(acme, who)))
    expect(new Set(linked.map(({ id }) => id))).toEqual(new Set([made.id]))
  })

  test('of eight subjects that claim one user name at once, one gets it and the others are told', async () => {
    const acme = await company()
    const claim = (turn: number) =>
      identity(`s${turn}`, { email: `x${turn}@${acme.domain}`, linkValues: withUserName('ada') })
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, turn) => refusal(acme, claim(turn), { justInTime: 'on' })),
    )
    expect(answers.sort()).toEqual([...Array.from({ length: 7 }, () => 'link_conflict'), 'not refused'])
  })

  test.each([
    ['subject', identity('a\0b')],
    ['name', identity('s', { displayName: 'a\0b' })],
    ['address', identity('s', { email: 'a\0b@company.test' })],
    ['user name', identity('s', { linkValues: withUserName('a\0b') })],
    ['user name of 513 characters', identity('s', { linkValues: withUserName('a'.repeat(513)) })],
  ])('a %s that cannot be kept is refused, not a failure', async (_, who) => {
    const acme = await company()
    expect(await refusal(acme, who, { justInTime: 'on', admitGuests: true })).toBe('subject_malformed')
    const longest = identity('s', { linkValues: withUserName('a'.repeat(512)) })
    expect((await resolve(acme, longest, { justInTime: 'on', admitGuests: true })).userName).toHaveLength(512)
  })
})
