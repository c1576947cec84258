import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { attachDatabase, withOwner } from '../../src/db/attach.ts'
import { freePort, withClient } from '../../src/db/embedded/cluster.ts'
import { migrateUp } from '../../src/db/migrations.ts'
import { testDatabase } from '../support/database.ts'

const db = testDatabase()

const attach = async (databaseUrl: string): Promise<void> => {
  const attached = await attachDatabase({
    databaseUrl,
    databaseMigrationUrl: undefined,
    dataDir: '/nowhere',
    databasePoolSize: 2,
  })
  await attached.close()
}

const asSuperuser = (...statements: string[]): Promise<unknown> =>
  withClient(db.urls.superuser, (client) => client.query(statements.join(';\n')))

const madeRoles: string[] = []

/** A role of the test's own, and where it connects. */
const makeRole = async (attributes: string, ...grants: string[]): Promise<{ name: string; url: string }> => {
  const name = `test_role_${randomBytes(4).toString('hex')}`
  const url = new URL(db.urls.app)
  url.username = name
  madeRoles.push(name)
  await asSuperuser(
    `create role ${name} login password '${url.password}' ${attributes}`,
    `grant select on knex_migrations to ${name}`,
    ...grants.map((grant) => grant.replaceAll('ROLE', name)),
  )
  return { name, url: url.href }
}

afterAll(async () => {
  for (const role of madeRoles) await asSuperuser(`drop owned by ${role} cascade`, `drop role ${role}`)
})

const unsafe = (saying: RegExp) =>
  expect.objectContaining({
    kind: 'forbidden',
    code: 'unsafe_database_role',
    message: expect.stringMatching(saying),
  })

describe('serving', () => {
  test('is accepted as portico_app', async () => {
    await attach(db.urls.app)
  })

  test('is accepted as a role of another name that is as powerless', async () => {
    await attach((await makeRole('')).url)
  })

  test('is refused as a superuser, in a sentence that says what to do', async () => {
    await expect(attach(db.urls.superuser)).rejects.toEqual(
      unsafe(
        /^Portico does not serve as the database role postgres, which is a superuser.*Point DATABASE_URL at portico_app\.$/,
      ),
    )
  })

  test('is refused as the owner of the tables', async () => {
    await expect(attach(db.urls.owner)).rejects.toEqual(unsafe(/role portico_owner, which owns /))
  })

  test('is refused as a role that bypasses row security', async () => {
    const { url } = await makeRole('bypassrls')
    await expect(attach(url)).rejects.toEqual(unsafe(/which has BYPASSRLS:/))
  })

  test('is refused as a member of portico_lookup', async () => {
    const { url } = await makeRole('', 'grant portico_lookup to ROLE')
    await expect(attach(url)).rejects.toEqual(unsafe(/which is a member of portico_lookup:/))
  })

  test('is refused as a role that inherits nothing and could still become the owner', async () => {
    const { url } = await makeRole('noinherit', 'grant portico_owner to ROLE')
    await expect(attach(url)).rejects.toEqual(unsafe(/which owns .* and is a member of portico_lookup:/))
  })

  test('is refused as a role that could become one that bypasses row security', async () => {
    const powerful = await makeRole('bypassrls')
    const { url } = await makeRole('noinherit', `grant ${powerful.name} to ROLE`)
    await expect(attach(url)).rejects.toEqual(unsafe(/which has BYPASSRLS:/))
  })

  test('is refused as the owner of the schema, who could drop what protects the tables', async () => {
    const { url } = await makeRole('', 'alter schema public owner to ROLE')
    try {
      await expect(attach(url)).rejects.toEqual(unsafe(/which owns /))
    } finally {
      await asSuperuser('alter schema public owner to pg_database_owner')
    }
  })

  test('is refused as the owner of some other table', async () => {
    const { url } = await makeRole('', 'create table kept (id uuid)', 'alter table kept owner to ROLE')
    await expect(attach(url)).rejects.toEqual(unsafe(/which owns /))
  })
})

describe('migrating', () => {
  const migrate = (databaseMigrationUrl: string | undefined) =>
    withOwner(
      { databaseUrl: db.urls.app, databaseMigrationUrl, dataDir: '/nowhere', databasePoolSize: 2 },
      migrateUp,
    )

  test('works as the owner, and finds nothing to do on a whole schema', async () => {
    expect(await migrate(db.urls.owner)).toEqual([])
  })

  test('is refused in a sentence without the owner’s address, or with one that PostgreSQL turns away', async () => {
    await expect(migrate(undefined)).rejects.toMatchObject({
      code: 'configuration',
      message: 'DATABASE_MIGRATION_URL is missing: migrations run as portico_owner.',
    })
    const url = new URL(db.urls.owner)
    url.password = 'wrong'
    await expect(migrate(url.href)).rejects.toMatchObject({
      code: 'database_refused',
      message: expect.stringMatching(/^PostgreSQL refuses DATABASE_MIGRATION_URL: /),
    })
  })
})

describe('a database that does not fit', () => {
  const spoilt = async ([spoil, mend]: [string, string], work: () => Promise<void>): Promise<void> => {
    await db.owner.raw(spoil)
    try {
      await work()
    } finally {
      await db.owner.raw(mend)
    }
  }

  test('is refused where a migration is missing, with the command that brings it', async () => {
    await spoilt(
      [
        `delete from knex_migrations where name = '0005-audit-events'`,
        `insert into knex_migrations (name, batch, migration_time) values ('0005-audit-events', 1, now())`,
      ],
      () =>
        expect(attach(db.urls.app)).rejects.toMatchObject({
          kind: 'unavailable',
          code: 'schema_mismatch',
          message: 'The database lacks 1 migration(s), first 0005-audit-events. Run: portico migrate up',
        }),
    )
    await attach(db.urls.app)
  })

  test('is refused where a newer version has been, naming what it left', async () => {
    await spoilt(
      [
        `insert into knex_migrations (name, batch, migration_time) values ('9999-later', 9, now())`,
        `delete from knex_migrations where name = '9999-later'`,
      ],
      () =>
        expect(attach(db.urls.app)).rejects.toMatchObject({
          code: 'schema_mismatch',
          message: expect.stringMatching(
            /^The database has migration\(s\) that this version does not know, first 9999-later\./,
          ),
        }),
    )
  })

  test('is refused where it was never migrated', async () => {
    const name = `test_empty_${randomBytes(4).toString('hex')}`
    await asSuperuser(`create database ${name}`)
    try {
      const url = new URL(db.urls.app)
      url.pathname = `/${name}`
      await expect(attach(url.href)).rejects.toMatchObject({
        code: 'schema_mismatch',
        message: expect.stringMatching(/first 0001-organisations\. Run: portico migrate up$/),
      })
    } finally {
      await asSuperuser(`drop database ${name} with (force)`)
    }
  })

  test('is unavailable where nothing listens, and its password is not given away', async () => {
    const url = new URL(db.urls.app)
    url.port = String(await freePort())
    const refused = attach(url.href)
    await expect(refused).rejects.toMatchObject({ kind: 'unavailable', code: 'database_unavailable' })
    await expect(refused).rejects.toSatisfy((error: Error) => !error.message.includes(url.password))
  })

  test.each([
    [
      'the password is wrong',
      (url: URL) => {
        url.password = 'wrong'
      },
    ],
    [
      'there is no such role',
      (url: URL) => {
        url.username = 'nobody_here'
      },
    ],
    [
      'there is no such database',
      (url: URL) => {
        url.pathname = '/nothing_here'
      },
    ],
  ])('is refused in a sentence where %s', async (_name, spoil) => {
    const url = new URL(db.urls.app)
    spoil(url)
    await expect(attach(url.href)).rejects.toMatchObject({
      kind: 'invalid',
      code: 'database_refused',
      message: expect.stringMatching(/^PostgreSQL refuses DATABASE_URL: .*\.$/),
    })
  })
})
