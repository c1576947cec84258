import { beforeAll } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { inTx } from '../../../src/db/transaction.ts'
import type { LinkableIdentity, LinkRules } from '../../../src/directory/linking.ts'
import type { User, UserFields } from '../../../src/directory/user.ts'
import type { Services } from '../../../src/services.ts'
import type { TestDatabase } from '../../support/database.ts'
import { person, refusalCode, servicesOn, type Tenant, tenant } from '../../tokens/support/installation.ts'

const STRICT: LinkRules = { linkKey: 'externalId', linkByEmail: false, justInTime: 'off', admitGuests: false }

export const identity = (subject: string, changes: Partial<LinkableIdentity> = {}): LinkableIdentity => ({
  subject,
  linkValues: { externalId: undefined, userName: undefined },
  email: undefined,
  emailVerified: undefined,
  displayName: 'Ada Lovelace',
  givenName: 'Ada',
  familyName: 'Lovelace',
  ...changes,
})

export const withExternalId = (externalId: string) => ({ externalId, userName: undefined })
export const withUserName = (userName: string) => ({ externalId: undefined, userName })

/** Organisations to link people in, and the ways to do it. */
export const linkingIn = (db: TestDatabase) => {
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

  return {
    get services() {
      return services
    },
    company,
    resolve,
    refusal,
    create,
    events,
  }
}
