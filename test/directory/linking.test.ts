import { describe, expect, test } from 'vitest'
import { testDatabase } from '../support/database.ts'
import { identity, linkingIn, withExternalId, withUserName } from './support/linking.ts'

describe('linking an identity to a user', () => {
  const db = testDatabase({ poolSize: 20 })
  const world = linkingIn(db)
  const { company, resolve, refusal, create, events } = world

  test('a known subject of the connection is its user, whatever else the IdP says now', async () => {
    const acme = await company()
    const user = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    await resolve(acme, identity('s1', { linkValues: withExternalId('e1') }))
    const other = await create(acme, { userName: 'bob', externalId: 'e2' }, null)
    const again = await resolve(acme, identity('s1', { linkValues: withExternalId('e2') }))
    expect(again.id).toBe(user.id)
    expect(again.id).not.toBe(other.id)
    expect(await refusal(acme, identity('S1'))).toBe('user_unknown')
  })

  test('the same subject at another connection of the same organisation is nobody yet', async () => {
    const acme = await company()
    await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    await resolve(acme, identity('s1', { linkValues: withExternalId('e1') }))
    const second = await world.services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
    expect(await refusal({ ...acme, connectionId: second.id }, identity('s1'))).toBe('user_unknown')
  })

  test('a first sign-in links by externalId to a user of a paired directory, with an audit row', async () => {
    const acme = await company()
    const user = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    expect((await resolve(acme, identity('s1', { linkValues: withExternalId('e1') }))).id).toBe(user.id)
    expect(await events(acme, 'identity.linked')).toMatchObject([
      { target_id: user.id, facts: { connection: acme.connectionId } },
    ])
  })

  test.each([
    ['of a directory that is not paired', 'unpaired'],
    ['of a directory paired with another connection', 'elsewhere'],
    ['that a login made', 'none'],
  ] as const)('a first sign-in does not link by externalId to a user %s', async (_, where) => {
    const acme = await company()
    const second = await world.services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
    const directoryId =
      where === 'none' ? null : await acme.directories(where === 'elsewhere' ? second.id : null)
    const user = await create(acme, { externalId: 'e1' }, directoryId)
    const who = identity('s1', { linkValues: withExternalId('e1') })
    expect(await refusal(acme, who)).toBe('user_unknown')
    if (where !== 'elsewhere') return
    expect((await resolve({ ...acme, connectionId: second.id }, who)).id).toBe(user.id)
  })

  test('externalIds are compared as they are, user names without regard to case', async () => {
    const acme = await company()
    const directoryId = await acme.directories(acme.connectionId)
    const user = await create(acme, { userName: 'Ada@Lovelace', externalId: 'Abc' }, directoryId)
    expect(await refusal(acme, identity('s1', { linkValues: withExternalId('abc') }))).toBe('user_unknown')
    const byName = identity('s1', { linkValues: withUserName('ADA@lovelace') })
    expect(await refusal(acme, byName)).toBe('user_unknown')
    expect((await resolve(acme, byName, { linkKey: 'userName' })).id).toBe(user.id)
  })

  test('only the link key that was chosen links', async () => {
    const acme = await company()
    const user = await create(
      acme,
      { userName: 'ada', externalId: 'e1' },
      await acme.directories(acme.connectionId),
    )
    const both = (externalId: string, userName: string) =>
      identity('s1', { linkValues: { externalId, userName } })
    expect(await refusal(acme, both('e9', 'ada'))).toBe('user_unknown')
    expect(await refusal(acme, both('e1', 'eve'), { linkKey: 'userName' })).toBe('user_unknown')
    expect((await resolve(acme, both('e1', 'eve'))).id).toBe(user.id)
  })

  test('the same externalId in two paired directories links to nobody', async () => {
    const acme = await company()
    await create(acme, { userName: 'ada', externalId: 'e1' }, await acme.directories(acme.connectionId))
    const who = identity('s1', { linkValues: withExternalId('e1') })
    const second = await acme.directories(acme.connectionId)
    const twin = await create(acme, { userName: 'ada2', externalId: 'e1' }, second)
    expect(await refusal(acme, who)).toBe('user_unknown')
    await world.services.users.remove(acme.ctx, twin.id, undefined)
    expect((await resolve(acme, who)).userName).toBe('ada')
  })

  describe('by email', () => {
    const setUp = async () => {
      const acme = await company()
      const email = `ada@${acme.domain}`
      const user = await create(acme, { email }, await acme.directories(null))
      await world.services.organisations.assignDomain(acme.ctx, acme.domain, acme.connectionId)
      return { acme, email, user }
    }

    test('an address that the IdP says is not verified links nobody', async () => {
      const { acme, email, user } = await setUp()
      const who = identity('s1', { email, emailVerified: false })
      expect(await refusal(acme, who, { linkByEmail: true })).toBe('user_unknown')
      expect((await resolve(acme, { ...who, emailVerified: true }, { linkByEmail: true })).id).toBe(user.id)
    })

    test('it links where the admin chose it and the domain is assigned to the connection', async () => {
      const { acme, email, user } = await setUp()
      const who = identity('s1', { email: email.toUpperCase() })
      expect(await refusal(acme, who)).toBe('user_unknown')
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(user.id)
    })

    test('it does not link where the domain is another connection’s, or nobody’s', async () => {
      const { acme, email, user } = await setUp()
      const second = await world.services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
      const who = identity('s1', { email })
      expect(await refusal({ ...acme, connectionId: second.id }, who, { linkByEmail: true })).toBe(
        'user_unknown',
      )
      const free = `free-${acme.domain}`
      await world.services.organisations.addDomain(acme.ctx, { name: free, verified: true })
      await create(acme, { userName: 'free', email: `ada@${free}` }, null)
      expect(await refusal(acme, identity('s1', { email: `ada@${free}` }), { linkByEmail: true })).toBe(
        'user_unknown',
      )
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(user.id)
    })

    test('it does not link in an assigned domain that nobody has verified', async () => {
      const { acme } = await setUp()
      const claimed = `claimed-${acme.domain}`
      await world.services.organisations.addDomain(acme.ctx, {
        name: claimed,
        verified: false,
        connectionId: acme.connectionId,
      })
      await create(acme, { userName: 'claimed', email: `ada@${claimed}` }, null)
      const who = identity('s1', { email: `ada@${claimed}` })
      expect(await refusal(acme, who, { linkByEmail: true, admitGuests: true })).toBe('user_unknown')
      expect(await refusal(acme, who, { linkByEmail: true })).toBe('email_outside_domains')
    })

    test('it does not link to one of two people with the same address', async () => {
      const { acme, email, user } = await setUp()
      const twin = await create(acme, { userName: 'twin', email }, null)
      const who = identity('s1', { email })
      expect(await refusal(acme, who, { linkByEmail: true })).toBe('user_unknown')
      await world.services.users.remove(acme.ctx, twin.id, undefined)
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(user.id)
    })

    test('the link key goes before the address', async () => {
      const { acme, email } = await setUp()
      const keyed = await create(
        acme,
        { userName: 'keyed', externalId: 'e1' },
        await acme.directories(acme.connectionId),
      )
      const who = identity('s1', { email, linkValues: withExternalId('e1') })
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(keyed.id)
    })
  })

  test('an inactive user is refused, by subject and by link key, and comes back with the reactivation', async () => {
    const acme = await company()
    const user = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    const who = identity('s1', { linkValues: withExternalId('e1') })
    await world.services.users.setActive(acme.ctx, user.id, false)
    expect(await refusal(acme, who)).toBe('user_inactive')
    await world.services.users.setActive(acme.ctx, user.id, true)
    expect((await resolve(acme, who)).id).toBe(user.id)
    await world.services.users.setActive(acme.ctx, user.id, false)
    expect(await refusal(acme, who)).toBe('user_inactive')
  })

  test('a second subject that claims the same user is a conflict, and the first stays', async () => {
    const acme = await company()
    const user = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    const linkValues = withExternalId('e1')
    await resolve(acme, identity('s1', { linkValues }))
    expect(await refusal(acme, identity('s2', { linkValues }))).toBe('link_conflict')
    expect((await resolve(acme, identity('s1'))).id).toBe(user.id)
    expect(await refusal(acme, identity('s2'))).toBe('user_unknown')
  })

  test('nothing links across organisations', async () => {
    const [acme, globex] = [await company(), await company()]
    const user = await create(
      acme,
      { externalId: 'e1', email: `ada@${acme.domain}` },
      await acme.directories(acme.connectionId),
    )
    await globex.directories(globex.connectionId)
    const who = identity('s1', {
      email: `ada@${acme.domain}`,
      linkValues: { externalId: 'e1', userName: user.userName },
    })
    expect((await resolve(acme, who)).id).toBe(user.id)
    for (const rules of [{}, { linkKey: 'userName' }, { linkByEmail: true }] as const) {
      expect(await refusal(globex, who, rules)).toBe('email_outside_domains')
      expect(await refusal(globex, who, { ...rules, admitGuests: true })).toBe('user_unknown')
    }
    // The other organisation's connection cannot be borrowed either.
    expect(await refusal({ ...globex, connectionId: acme.connectionId }, who, { admitGuests: true })).toBe(
      'user_unknown',
    )
    const guest = await resolve(globex, who, { justInTime: 'on', admitGuests: true })
    expect(guest.id).not.toBe(user.id)
  })
})
