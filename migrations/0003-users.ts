import type { Knex } from 'knex'
import { lookupFunction, tenantTable } from '../src/db/policies.ts'

/**
 * Users, groups and identities. The `…_key` columns are generated: lower() is not leakproof, so under row security
 * an index on an expression would never be used, while `=` on a stored column is.
 */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create table users (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null unique,
      directory_id uuid,
      user_name text not null check (length(user_name) between 1 and 512),
      user_name_key text not null generated always as (lower(user_name)) stored,
      external_id text,
      email text,
      email_key text generated always as (lower(email)) stored,
      display_name text,
      given_name text,
      family_name text,
      active boolean not null default true,
      epoch bigint not null default 0,
      resource jsonb not null default '{}',
      version integer not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      deleted_at timestamptz,
      primary key (org_id, id),
      foreign key (org_id, directory_id) references directories (org_id, id) on delete set null (directory_id)
    )`)
  // A deleted user stays as a tombstone, out of the way of these.
  await knex.raw(
    'create unique index users_user_name on users (org_id, user_name_key) where deleted_at is null',
  )
  await knex.raw(
    'create unique index users_external_id on users (org_id, directory_id, external_id) where deleted_at is null',
  )
  await knex.raw('create index users_directory on users (org_id, directory_id, id) where deleted_at is null')
  await knex.raw('create index users_email on users (org_id, email_key)')
  await knex.raw(
    'create index users_tombstones on users (org_id, user_name_key) where deleted_at is not null',
  )
  await tenantTable(knex, 'users', 'select, insert, update, delete')
  await lookupFunction(knex, {
    name: 'org_of_user',
    table: 'users',
    argument: 'uuid',
    where: 'id = wanted',
    columns: 'id, org_id',
  })

  await knex.raw(`
    create table groups (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      directory_id uuid not null,
      display_name text not null check (length(display_name) between 1 and 512),
      display_name_key text not null generated always as (lower(display_name)) stored,
      external_id text,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (org_id, id),
      foreign key (org_id, directory_id) references directories (org_id, id) on delete cascade
    )`)
  await knex.raw('create index groups_directory on groups (org_id, directory_id, id)')
  await tenantTable(knex, 'groups', 'select, insert, update, delete')

  await knex.raw(`
    create table group_members (
      org_id uuid not null references organisations (id) on delete cascade,
      group_id uuid not null,
      user_id uuid not null,
      primary key (org_id, group_id, user_id),
      foreign key (org_id, group_id) references groups (org_id, id) on delete cascade,
      foreign key (org_id, user_id) references users (org_id, id) on delete cascade
    )`)
  await knex.raw('create index group_members_user on group_members (org_id, user_id)')
  await tenantTable(knex, 'group_members', 'select, insert, delete')

  await knex.raw(`
    create table identities (
      org_id uuid not null references organisations (id) on delete cascade,
      connection_id uuid not null,
      subject text not null check (length(subject) between 1 and 1024),
      user_id uuid not null,
      created_at timestamptz not null default now(),
      primary key (org_id, connection_id, subject),
      unique (org_id, connection_id, user_id),
      foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade,
      foreign key (org_id, user_id) references users (org_id, id) on delete cascade
    )`)
  await knex.raw('create index identities_user on identities (org_id, user_id)')
  await tenantTable(knex, 'identities', 'select, insert, update, delete')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop function org_of_user')
  await knex.raw('drop table identities, group_members, groups, users')
}
