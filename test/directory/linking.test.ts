import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { LinkableIdentity, LinkRules } from '../../src/directory/linking.ts'
import type { User, UserFields } from '../../src/directory/user.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import { person, refusalCode, servicesOn, type Tenant, tenant } from '../tokens/support/installation.ts'

const STRICT: LinkRules = { linkKey: 'externalId', linkByEmail: false, justInTime: 'off', admitGuests: false }

const identity = (subject: string, changes: Partial<LinkableIdentity> = {}): LinkableIdentity => ({
  subject,
  linkValues: { externalId: undefined, userName: undefined },
  email: undefined,
  displayName: 'Ada Lovelace',
  givenName: 'Ada',
  familyName: 'Lovelace',
  ...changes,
})

const withExternalId = (externalId: string) => ({ externalId, userName: undefined })
const withUserName = (userName: string) => ({ externalId: undefined, userName })

describe('linking an identity to a user', () => {
  const db = testDatabase({ poolSize: 20 })
  let services: Services
  let count = 0

  beforeAll(() => {
    services = servicesOn(systemClock)
  })

  /** Each test has an organisation of its own, with one directory paired with its connection and one that is not. */
  const company = async () => {
    count += 1
    const made = await tenant(services, db.ctx(), `company${count}.test`)
    const directories = async (connectionId: string | null) =>
      (await services.directories.create(made.ctx, { profile: 'generic', connectionId })).id
    return { ...made, domain: `company${count}.test`, directories }
  }

  const resolve = (
    { ctx, connectionId }: Tenant,
    who: LinkableIdentity,
    rules: Partial<LinkRules> = {},
  ): Promise<User> =>
    inTx(ctx, (tx) => services.linking.resolve(tx, connectionId, { ...STRICT, ...rules }, who))

  const refusal = (at: Tenant, who: LinkableIdentity, rules: Partial<LinkRules> = {}) =>
    refusalCode(resolve(at, who, rules))

  const create = (at: Tenant, fields: Partial<UserFields>, directoryId: string | null) =>
    services.users.create(at.ctx, person(fields.userName ?? 'ada', { email: null, ...fields }), {
      directoryId,
    })

  const events = async (at: Tenant, action: string) =>
    (await inTx(at.ctx, (tx) => services.audit.list(tx, { limit: 1000 }))).filter(
      (event) => event.action === action,
    )

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
    const second = await services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
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
    const second = await services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
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
    await services.users.remove(acme.ctx, twin.id, undefined)
    expect((await resolve(acme, who)).userName).toBe('ada')
  })

  describe('by email', () => {
    const setUp = async () => {
      const acme = await company()
      const email = `ada@${acme.domain}`
      const user = await create(acme, { email }, await acme.directories(null))
      await services.organisations.assignDomain(acme.ctx, acme.domain, acme.connectionId)
      return { acme, email, user }
    }

    test('it links where the admin chose it and the domain is assigned to the connection', async () => {
      const { acme, email, user } = await setUp()
      const who = identity('s1', { email: email.toUpperCase() })
      expect(await refusal(acme, who)).toBe('user_unknown')
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(user.id)
    })

    test('it does not link where the domain is another connection’s, or nobody’s', async () => {
      const { acme, email, user } = await setUp()
      const second = await services.connections.create(acme.ctx, { type: 'oidc', name: 'Second' })
      const who = identity('s1', { email })
      expect(await refusal({ ...acme, connectionId: second.id }, who, { linkByEmail: true })).toBe(
        'user_unknown',
      )
      const free = `free-${acme.domain}`
      await services.organisations.addDomain(acme.ctx, { name: free, verified: true })
      await create(acme, { userName: 'free', email: `ada@${free}` }, null)
      expect(await refusal(acme, identity('s1', { email: `ada@${free}` }), { linkByEmail: true })).toBe(
        'user_unknown',
      )
      expect((await resolve(acme, who, { linkByEmail: true })).id).toBe(user.id)
    })

    test('it does not link in an assigned domain that nobody has verified', async () => {
      const { acme } = await setUp()
      const claimed = `claimed-${acme.domain}`
      await services.organisations.addDomain(acme.ctx, {
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
      await services.users.remove(acme.ctx, twin.id, undefined)
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

  describe('just in time', () => {
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
      await services.organisations.addDomain(acme.ctx, { name: `un-${acme.domain}`, verified: false })
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
      await services.users.remove(acme.ctx, first.id, { directoryId })
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
  })

  test('an inactive user is refused, by subject and by link key, and comes back with the reactivation', async () => {
    const acme = await company()
    const user = await create(acme, { externalId: 'e1' }, await acme.directories(acme.connectionId))
    const who = identity('s1', { linkValues: withExternalId('e1') })
    await services.users.setActive(acme.ctx, user.id, false)
    expect(await refusal(acme, who)).toBe('user_inactive')
    await services.users.setActive(acme.ctx, user.id, true)
    expect((await resolve(acme, who)).id).toBe(user.id)
    await services.users.setActive(acme.ctx, user.id, false)
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
