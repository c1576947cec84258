import type { Knex } from 'knex'
import { lookupFunction, platformTable, tenantTable } from '../src/db/policies.ts'

const columns = `
      id uuid not null,
      at timestamptz not null,
      action text not null,
      outcome text not null check (outcome in ('success', 'refused')),
      reason text,
      actor_type text not null,
      actor_id uuid,
      target_type text,
      target_id uuid,
      request_id text not null,
      facts jsonb not null default '{}',
      occurrences integer not null default 1,
      counted_as text`

/**
 * The audit trail, append-only for the application: no delete, and the only column it may change is the counter of
 * a row that stands for many anonymous refusals. Platform events have no organisation, so they have their own table.
 */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create table audit_events (
      org_id uuid not null references organisations (id) on delete cascade,${columns},
      primary key (org_id, id),
      unique (org_id, counted_as)
    )`)
  await knex.raw('create index audit_events_target on audit_events (org_id, target_id, id)')
  await knex.raw('create index audit_events_id on audit_events (id)')
  await tenantTable(knex, 'audit_events', 'select, insert, update (occurrences)')
  await lookupFunction(knex, {
    name: 'org_of_login_refusal',
    table: 'audit_events',
    argument: 'uuid',
    where: 'id = wanted',
    columns: 'id, org_id, action',
    visible: `action = 'login.refused'`,
  })

  await knex.raw(`
    create table platform_audit_events (${columns},
      primary key (id),
      unique (counted_as)
    )`)
  await platformTable(knex, 'platform_audit_events', 'select, insert, update (occurrences)')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop function org_of_login_refusal')
  await knex.raw('drop table platform_audit_events, audit_events')
}
