import type { Knex } from 'knex'

/**
 * Deletes what has served: sign-ins that were never finished, replay keys and codes past their time, sessions and
 * refresh families a month after their end. It runs as the owner, because the application sees one tenant at a time;
 * it takes nothing but a batch size, and can only ever delete what has expired.
 */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw('create index replay_keys_expiry on replay_keys (expires_at)')
  await knex.raw('create index authorization_codes_expiry on authorization_codes (expires_at)')
  await knex.raw('create index sessions_expiry on sessions (expires_at)')
  await knex.raw(`
    create function sweep_expired(batch integer) returns integer
      language plpgsql security definer set search_path = public, pg_temp as $$
    declare
      swept integer := 0;
      step integer;
    begin
      delete from login_requests where ctid = any (array(
        select ctid from login_requests where expires_at < now() - interval '1 hour' limit batch for update skip locked));
      get diagnostics step = row_count; swept := swept + step;
      delete from replay_keys where ctid = any (array(
        select ctid from replay_keys where expires_at < now() - interval '1 hour' limit batch for update skip locked));
      get diagnostics step = row_count; swept := swept + step;
      delete from authorization_codes where ctid = any (array(
        select ctid from authorization_codes where expires_at < now() - interval '1 day' limit batch for update skip locked));
      get diagnostics step = row_count; swept := swept + step;
      delete from sessions where ctid = any (array(
        select ctid from sessions where expires_at < now() - interval '30 days' limit batch for update skip locked));
      get diagnostics step = row_count; swept := swept + step;
      return swept;
    end $$`)
  await knex.raw('revoke execute on function sweep_expired(integer) from public')
  await knex.raw('grant execute on function sweep_expired(integer) to portico_app')
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop function sweep_expired(integer)')
  await knex.raw('drop index replay_keys_expiry, authorization_codes_expiry, sessions_expiry')
}
