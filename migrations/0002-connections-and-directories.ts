import type { Knex } from 'knex'
import { lookupFunction, tenantTable } from '../src/db/policies.ts'

/** Connections (one IdP of one organisation), the domains they answer for, directories (one SCIM source). */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create table connections (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null unique,
      type text not null,
      name text not null check (length(name) between 1 and 200),
      status text not null check (status in ('draft', 'enabled', 'disabled')),
      config jsonb not null,
      secrets_sealed bytea,
      link_key text not null default 'externalId' check (link_key in ('externalId', 'userName')),
      link_by_email boolean not null default false,
      just_in_time text not null default 'auto' check (just_in_time in ('auto', 'on', 'off')),
      admit_guests boolean not null default false,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (org_id, id)
    )`)
  await tenantTable(knex, 'connections', 'select, insert, update, delete')
  await lookupFunction(knex, {
    name: 'org_of_connection',
    table: 'connections',
    argument: 'uuid',
    where: 'id = wanted',
    columns: 'id, org_id',
  })

  await knex.raw(`
    create table domains (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      name text not null check (name = lower(name) and length(name) between 3 and 253),
      connection_id uuid,
      verified_at timestamptz,
      created_at timestamptz not null default now(),
      primary key (org_id, id),
      unique (org_id, name),
      foreign key (org_id, connection_id) references connections (org_id, id) on delete set null (connection_id)
    )`)
  // One domain is never verified for two organisations: a unique index sees past row security.
  await knex.raw('create unique index domains_verified_name on domains (name) where verified_at is not null')
  await tenantTable(knex, 'domains', 'select, insert, update, delete')
  await lookupFunction(knex, {
    name: 'org_of_domain',
    table: 'domains',
    argument: 'text',
    where: 'name = wanted',
    columns: 'name, org_id, verified_at',
    visible: 'verified_at is not null',
  })

  await knex.raw(`
    create table directories (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null unique,
      profile text not null,
      connection_id uuid,
      created_at timestamptz not null default now(),
      primary key (org_id, id),
      foreign key (org_id, connection_id) references connections (org_id, id) on delete set null (connection_id)
    )`)
  await tenantTable(knex, 'directories', 'select, insert, update, delete')
  await lookupFunction(knex, {
    name: 'org_of_directory',
    table: 'directories',
    argument: 'uuid',
    where: 'id = wanted',
    columns: 'id, org_id',
  })

  await knex.raw(`
    create table directory_tokens (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      directory_id uuid not null,
      hash bytea not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      primary key (org_id, id),
      foreign key (org_id, directory_id) references directories (org_id, id) on delete cascade
    )`)
  await knex.raw('create index directory_tokens_directory on directory_tokens (org_id, directory_id)')
  await tenantTable(knex, 'directory_tokens', 'select, insert, update, delete')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop function org_of_connection, org_of_domain, org_of_directory')
  await knex.raw('drop table directory_tokens, directories, domains, connections')
}
