import type { Knex } from 'knex'
import { describe, expect, test } from 'vitest'
import { judgeCatalogue, readCatalogue, tableClasses } from '../../src/db/catalogue.ts'
import { openDatabase } from '../../src/db/pool.ts'
import { testDatabase } from '../support/database.ts'

const db = testDatabase()

const judge = async (knex: Knex): Promise<string[]> => judgeCatalogue(await readCatalogue(knex))

/** What the judgement says of a schema spoilt by `statement`, which is then taken back. */
const judgeSpoilt = async (url: string, statement: string): Promise<string[]> => {
  const knex = openDatabase({ url, size: 1 })
  const spoilt = await knex.transaction()
  try {
    await spoilt.raw(statement)
    return await judge(spoilt)
  } finally {
    await spoilt.rollback()
    await knex.destroy()
  }
}

describe('the migrated schema', () => {
  test('keeps tenants apart, as the owner sees it', async () => {
    expect(await judge(db.owner)).toEqual([])
  })

  test('keeps tenants apart, as the application role sees it, so that a running broker can tell', async () => {
    expect(await judge(db.app)).toEqual([])
  })

  test('is read whole: every listed table, with columns, keys, indexes, grants and policies', async () => {
    const { tables, functions, roles } = await readCatalogue(db.owner)
    expect(tables.map(({ name }) => name).sort()).toEqual(Object.keys(tableClasses).sort())
    const users = tables.find(({ name }) => name === 'users')
    expect(users?.columns).toContainEqual({ name: 'org_id', type: 'uuid', notNull: true, filled: false })
    expect(users?.foreignKeys.map(({ target }) => target).sort()).toEqual(['directories', 'organisations'])
    expect(users?.indexes).toContainEqual(['org_id', 'id'])
    expect(users?.policies.map(({ name }) => name).sort()).toEqual(['migrations', 'org_of_user', 'tenant'])
    expect(users?.grants.filter(({ grantee }) => grantee === 'portico_lookup')).toHaveLength(2)
    expect(functions.length).toBeGreaterThan(5)
    expect(roles.map(({ name }) => name).sort()).toEqual(['portico_app', 'portico_lookup', 'portico_owner'])
  })
})

/** Each is done to the real schema, judged, and taken back. */
const spoilings: [string, string, RegExp][] = [
  ['a table nobody classified', 'create table guests (id uuid)', /^guests is not classified/],
  ['a view', 'create view all_users as select * from users', /^all_users is not classified/],
  ['a listed table that is gone', 'drop table replay_keys', /^table replay_keys is missing$/],
  ['a tenant policy dropped', 'drop policy tenant on users', /^users has not exactly the tenant policy/],
  [
    'a tenant policy that shows everything',
    'alter policy tenant on users using (true)',
    /^users has not exactly the tenant policy/,
  ],
  [
    'a tenant policy that lets everything be written',
    'alter policy tenant on users with check (true)',
    /^users has not exactly the tenant policy/,
  ],
  [
    'a tenant policy that fails on an empty setting',
    `alter policy tenant on users using (org_id = current_setting('app.org_id', true)::uuid)`,
    /^users has not exactly the tenant policy/,
  ],
  [
    'a second policy beside the right one',
    'create policy extra on users for select to portico_app using (active)',
    /^users has not exactly the tenant policy/,
  ],
  [
    'a policy for everyone',
    'create policy extra on users for select using (active)',
    /^users has not exactly the tenant policy/,
  ],
  [
    'a policy for a role that is none of ours',
    'create policy extra on users for select to pg_monitor using (true)',
    /^users has a policy for a role that is none of Portico’s/,
  ],
  ['no policy for the owner', 'drop policy migrations on users', /^users has not exactly the migrations/],
  ['row security disabled', 'alter table users disable row level security', /^users has row security off/],
  [
    'row security not forced',
    'alter table users no force row level security',
    /^users does not force row security/,
  ],
  [
    'an org_id that may be null',
    'alter table replay_keys drop constraint replay_keys_pkey, alter org_id drop not null',
    /^replay_keys has no org_id uuid not null/,
  ],
  [
    'no index that leads with org_id',
    'alter table replay_keys drop constraint replay_keys_pkey',
    /^replay_keys has no index that leads with org_id/,
  ],
  [
    'only a partial index that leads with org_id',
    `alter table replay_keys drop constraint replay_keys_pkey;
     create index on replay_keys (org_id) where expires_at > '2030-01-01'`,
    /^replay_keys has no index that leads with org_id/,
  ],
  [
    'a foreign key without the organisation in it',
    'alter table sessions add constraint loose foreign key (user_id) references users (id)',
    /^sessions refers to tenant table users by loose,/,
  ],
  [
    'a foreign key from a platform table without the organisation in it',
    'alter table login_requests add user_id uuid constraint loose references users (id)',
    /^login_requests refers to tenant table users by loose,/,
  ],
  [
    'rows of no organisation that exists',
    'alter table replay_keys drop constraint replay_keys_org_id_fkey',
    /^replay_keys does not refer to organisations/,
  ],
  [
    'TRUNCATE, which row security ignores',
    'grant truncate on users to portico_app',
    /^users grants truncate/,
  ],
  ['REFERENCES', 'grant references on users to portico_app', /^users grants references to portico_app/],
  ['TRIGGER', 'grant trigger on users to portico_app', /^users grants trigger to portico_app/],
  ['a grant to everyone', 'grant select on domains to public', /^domains grants select to public/],
  [
    'a grant that can be passed on',
    'grant select on domains to portico_app with grant option',
    /^domains grants select to portico_app to pass on/,
  ],
  [
    'the look-up role reading a whole table',
    'grant select on users to portico_lookup',
    /^users grants select to portico_lookup/,
  ],
  [
    'the look-up role reading one column too many',
    'grant select (email) on users to portico_lookup',
    /^users grants select \(email\) to portico_lookup/,
  ],
  [
    'the look-up role writing',
    'alter table domains enable row level security; create policy more on domains to portico_lookup using (true)',
    /^domains lets portico_lookup do more than select/,
  ],
  [
    'a look-up policy on a table that no look-up reads',
    'create policy org_of_user on groups for select to portico_lookup using (true)',
    /^groups has a policy for portico_lookup that belongs to no look-up/,
  ],
  [
    'the application writing the migration history',
    'grant insert on knex_migrations to portico_app',
    /^knex_migrations grants insert to portico_app/,
  ],
  [
    'a function nobody classified',
    `create function everything() returns bigint language sql security definer set search_path = public, pg_temp
       return (select count(*) from users)`,
    /^everything\(\) is not classified/,
  ],
  [
    'a look-up that everyone may call',
    'grant execute on function org_of_user to public',
    /^org_of_user\(\) may be executed by public/,
  ],
  [
    'a look-up that finds tables wherever its caller says',
    'alter function org_of_user reset search_path',
    /^org_of_user\(\) has not its search_path set/,
  ],
  [
    'a look-up that runs as its caller',
    'alter function org_of_user security invoker',
    /^org_of_user\(\) is not security definer/,
  ],
  [
    'a look-up that runs as the owner',
    'alter function org_of_user owner to portico_owner',
    /^org_of_user\(\) belongs to portico_owner/,
  ],
  [
    'a caller’s function that runs as the owner',
    'alter function rotate_refresh_token security definer',
    /^rotate_refresh_token\(\) is security definer/,
  ],
  [
    'the application creating things in the schema',
    'grant create on schema public to portico_app',
    /^schema public lets portico_app create things/,
  ],
]

/** These take a superuser; roles belong to the whole server, so they are taken back before anyone else looks. */
const superuserSpoilings: [string, string, RegExp][] = [
  ['an application that bypasses', 'alter role portico_app bypassrls', /^portico_app has BYPASSRLS/],
  ['an application that is a superuser', 'alter role portico_app superuser', /^portico_app is a superuser/],
  ['an application that makes roles', 'alter role portico_app createrole', /^portico_app may create roles/],
  [
    'an application that can become the owner',
    'grant portico_owner to portico_app',
    /^portico_app is a member of portico_owner/,
  ],
  [
    'an application that owns a table',
    'grant create on schema public to portico_app; create table mine (id uuid); alter table mine owner to portico_app',
    /^portico_app owns 1 object/,
  ],
  [
    'an application that owns another schema',
    'create schema elsewhere authorization portico_app',
    /^portico_app owns 1 object/,
  ],
  ['a look-up role that logs in', 'alter role portico_lookup login', /^portico_lookup can log in/],
  [
    'a look-up role that owns a table',
    'create schema elsewhere authorization portico_lookup',
    /^portico_lookup owns more than functions/,
  ],
  ['a table of a superuser', 'alter table users owner to postgres', /^users belongs to postgres/],
  [
    'a tenant preset for a role',
    `alter role portico_app set app.org_id = '018f0000-0000-7000-8000-000000000000'`,
    /^app\.org_id is preset/,
  ],
]

describe('the judgement turns red over', () => {
  test.each(spoilings)('%s', async (_name, statement, expected) => {
    expect(await judgeSpoilt(db.urls.owner, statement)).toContainEqual(expect.stringMatching(expected))
  })

  test.each(superuserSpoilings)('%s', async (_name, statement, expected) => {
    expect(await judgeSpoilt(db.urls.superuser, statement)).toContainEqual(expect.stringMatching(expected))
  })

  test('none of them once they are taken back', async () => {
    expect(await judge(db.owner)).toEqual([])
  })
})
