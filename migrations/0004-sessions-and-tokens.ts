import type { Knex } from 'knex'
import { platformTable, tenantTable } from '../src/db/policies.ts'

/** Clients, signing keys, sign-ins under way, browser sessions, codes and refresh tokens. */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create table clients (
      id uuid primary key,
      org_id uuid references organisations (id) on delete cascade,
      name text not null check (length(name) between 1 and 200),
      redirect_uris text[] not null,
      post_logout_redirect_uris text[] not null default '{}',
      audience text not null,
      secret_hash bytea not null,
      created_at timestamptz not null default now(),
      disabled_at timestamptz
    )`)
  await knex.raw('create index clients_org on clients (org_id)')
  await platformTable(knex, 'clients', 'select, insert, update, delete')

  await knex.raw(`
    create table signing_keys (
      id uuid primary key,
      kid text not null unique,
      algorithm text not null,
      public_jwk jsonb not null,
      private_sealed bytea not null,
      state text not null check (state in ('next', 'active', 'retired')),
      published_at timestamptz not null,
      activated_at timestamptz,
      retired_at timestamptz
    )`)
  await knex.raw(
    `create unique index signing_keys_one_each on signing_keys (state) where state in ('next', 'active')`,
  )
  await platformTable(knex, 'signing_keys', 'select, insert, update, delete')

  await knex.raw(`
    create table login_requests (
      handle_hash bytea primary key,
      browser_hash bytea not null,
      client_id uuid not null references clients (id) on delete cascade,
      redirect_uri text not null,
      scope text not null,
      state text,
      nonce text,
      code_challenge text not null,
      prompt text,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      consumed_at timestamptz
    )`)
  await knex.raw('create index login_requests_expiry on login_requests (expires_at)')
  await platformTable(knex, 'login_requests', 'select, insert, update, delete')

  await knex.raw(`
    create table login_flows (
      org_id uuid not null references organisations (id) on delete cascade,
      handle_hash bytea not null,
      connection_id uuid not null,
      browser_hash bytea not null,
      request_hash bytea not null references login_requests (handle_hash) on delete cascade,
      expects_sealed bytea not null,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      consumed_at timestamptz,
      primary key (org_id, handle_hash),
      foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
    )`)
  await knex.raw('create index login_flows_request on login_flows (request_hash)')
  await tenantTable(knex, 'login_flows', 'select, insert, update, delete')

  await knex.raw(`
    create table replay_keys (
      org_id uuid not null references organisations (id) on delete cascade,
      connection_id uuid not null,
      key_hash bytea not null,
      expires_at timestamptz not null,
      primary key (org_id, connection_id, key_hash),
      foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
    )`)
  await tenantTable(knex, 'replay_keys', 'select, insert, delete')

  await knex.raw(`
    create table sessions (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      connection_id uuid not null,
      hash bytea not null,
      acr text,
      amr text[] not null default '{}',
      auth_time timestamptz not null,
      idp_session text,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      ended_at timestamptz,
      end_reason text,
      primary key (org_id, id),
      foreign key (org_id, user_id) references users (org_id, id) on delete cascade,
      foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
    )`)
  await knex.raw('create index sessions_live on sessions (org_id, user_id) where ended_at is null')
  await tenantTable(knex, 'sessions', 'select, insert, update, delete')

  await knex.raw(`
    create table refresh_families (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      session_id uuid not null,
      user_id uuid not null,
      client_id uuid not null references clients (id) on delete cascade,
      scope text not null,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      ended_at timestamptz,
      end_reason text,
      primary key (org_id, id),
      foreign key (org_id, session_id) references sessions (org_id, id) on delete cascade
    )`)
  await knex.raw('create index refresh_families_session on refresh_families (org_id, session_id)')
  await tenantTable(knex, 'refresh_families', 'select, insert, update, delete')

  await knex.raw(`
    create table authorization_codes (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      hash bytea not null,
      session_id uuid not null,
      user_id uuid not null,
      client_id uuid not null references clients (id) on delete cascade,
      redirect_uri text not null,
      code_challenge text not null,
      scope text not null,
      nonce text,
      expires_at timestamptz not null,
      consumed_at timestamptz,
      family_id uuid,
      primary key (org_id, id),
      foreign key (org_id, session_id) references sessions (org_id, id) on delete cascade,
      foreign key (org_id, family_id) references refresh_families (org_id, id) on delete cascade
        deferrable initially deferred
    )`)
  await knex.raw('create index authorization_codes_session on authorization_codes (org_id, session_id)')
  await tenantTable(knex, 'authorization_codes', 'select, insert, update, delete')

  await knex.raw(`
    create table refresh_tokens (
      org_id uuid not null references organisations (id) on delete cascade,
      id uuid not null,
      family_id uuid not null,
      hash bytea not null,
      created_at timestamptz not null,
      used_at timestamptz,
      successor_id uuid,
      successor_sealed bytea,
      primary key (org_id, id),
      foreign key (org_id, family_id) references refresh_families (org_id, id) on delete cascade
    )`)
  await knex.raw('create index refresh_tokens_family on refresh_tokens (org_id, family_id)')
  await tenantTable(knex, 'refresh_tokens', 'select, insert, update, delete')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    drop table refresh_tokens, authorization_codes, refresh_families, sessions, replay_keys, login_flows,
      login_requests, signing_keys, clients`)
}
