import type { Knex } from 'knex'
import { platformTable, tenantTable } from '../src/db/policies.ts'

/** Organisations, the keys that seal their secrets, the domains that route a sign-in to them. */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create table organisations (
      id uuid primary key,
      name text not null check (length(name) between 1 and 200),
      created_at timestamptz not null default now()
    )`)
  await platformTable(knex, 'organisations', 'select, insert, update, delete')

  await knex.raw(`
    create table platform_keys (
      id uuid primary key,
      wrapped bytea not null,
      created_at timestamptz not null default now()
    )`)
  await platformTable(knex, 'platform_keys', 'select, insert')

  await knex.raw(`
    create table organisation_keys (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      wrapped bytea not null,
      created_at timestamptz not null default now(),
      primary key (org_id, id)
    )`)
  await tenantTable(knex, 'organisation_keys', 'select, insert')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop table organisation_keys, platform_keys, organisations')
}
