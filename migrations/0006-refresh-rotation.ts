import type { Knex } from 'knex'

/**
 * Rotation as one statement: one round trip, one commit, and the answer holds all that the new tokens say. It sets the tenant itself (row security applies inside, the
 * function runs as its caller), and locks in the order of everywhere: user, family, token.
 *
 * Outcomes: `rotated`, this call made the successor; `repeated`, an earlier call did within the grace and the successor
 * is unused, so the same one is handed out again; `reused`, anything later: theft; `over`, family, session or user are;
 * `unknown`.
 */
export const up = async (knex: Knex): Promise<void> => {
  await knex.raw(`
    create function rotate_refresh_token(
      p_org uuid, p_id uuid, p_hash bytea, p_client uuid, p_now timestamptz, p_grace interval,
      p_successor uuid, p_successor_hash bytea, p_successor_sealed bytea,
      out outcome text, out family_id uuid, out session_id uuid, out user_id uuid, out scope text,
      out acr text, out amr text[], out auth_time timestamptz, out sealed bytea, out person jsonb
    ) language plpgsql as $$
    declare
      token refresh_tokens%rowtype;
      family refresh_families%rowtype;
    begin
      perform set_config('app.org_id', p_org::text, true);

      select t.* into token from refresh_tokens t where t.org_id = p_org and t.id = p_id and t.hash = p_hash;
      if not found then outcome := 'unknown'; return; end if;
      select f.* into family from refresh_families f
        where f.org_id = p_org and f.id = token.family_id and f.client_id = p_client;
      if not found then outcome := 'unknown'; return; end if;
      family_id := family.id; session_id := family.session_id; user_id := family.user_id; scope := family.scope;

      select jsonb_build_object('id', u.id, 'epoch', u.epoch, 'user_name', u.user_name, 'email', u.email,
          'display_name', u.display_name, 'given_name', u.given_name, 'family_name', u.family_name,
          'email_verified', exists (select 1 from domains d where d.org_id = u.org_id and d.verified_at is not null
            and d.name = split_part(u.email_key, '@', 2)))
        into person
        from users u where u.org_id = p_org and u.id = family.user_id and u.active and u.deleted_at is null
        for share of u;
      if not found then outcome := 'over'; return; end if;
      perform 1 from refresh_families f
        where f.org_id = p_org and f.id = family.id and f.ended_at is null and f.expires_at > p_now for share;
      if not found then outcome := 'over'; return; end if;

      select s.acr, s.amr, s.auth_time into acr, amr, auth_time from sessions s
        where s.org_id = p_org and s.id = family.session_id and s.ended_at is null and s.expires_at > p_now;
      if not found then outcome := 'over'; return; end if;

      update refresh_tokens t
        set used_at = p_now, successor_id = p_successor, successor_sealed = p_successor_sealed
        where t.org_id = p_org and t.id = p_id and t.used_at is null;
      if found then
        insert into refresh_tokens (org_id, id, family_id, hash, created_at)
          values (p_org, p_successor, family.id, p_successor_hash, p_now);
        outcome := 'rotated'; return;
      end if;

      select t.* into token from refresh_tokens t where t.org_id = p_org and t.id = p_id;
      perform 1 from refresh_tokens t
        where t.org_id = p_org and t.id = token.successor_id and t.used_at is null;
      if found and token.used_at > p_now - p_grace then
        outcome := 'repeated'; sealed := token.successor_sealed; return;
      end if;
      outcome := 'reused';
    end $$`)
  await knex.raw(`revoke execute on function rotate_refresh_token from public`)
  await knex.raw(`grant execute on function rotate_refresh_token to portico_app`)
}

export const down = async (knex: Knex): Promise<void> => {
  await knex.raw('drop function rotate_refresh_token')
}
