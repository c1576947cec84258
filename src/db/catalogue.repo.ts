import type { Knex } from 'knex'

export type PolicyFacts = {
  name: string
  permissive: boolean
  command: 'all' | 'select' | 'insert' | 'update' | 'delete'
  roles: string[]
  using: string | null
  check: string | null
}

export type ForeignKeyFacts = {
  name: string
  columns: string[]
  target: string
  targetColumns: string[]
}

/** `column` is null for a grant on the whole table; `grantee` is `public` for everyone. */
export type GrantFacts = { grantee: string; privilege: string; column: string | null; grantable: boolean }

export type ColumnFacts = { name: string; type: string; notNull: boolean; filled: boolean }

export type TableFacts = {
  name: string
  kind: 'table' | 'other'
  owner: string
  rowSecurity: boolean
  forced: boolean
  columns: ColumnFacts[]
  policies: PolicyFacts[]
  foreignKeys: ForeignKeyFacts[]
  /** The columns of every valid index over all rows; an expression stands as ''. */
  indexes: string[][]
  grants: GrantFacts[]
}

export type FunctionFacts = {
  name: string
  owner: string
  definer: boolean
  returns: string
  settings: string[]
  executors: string[]
}

export type RoleFacts = {
  name: string
  login: boolean
  superuser: boolean
  bypass: boolean
  creates: boolean
  memberOf: string[]
  /** Objects of this database that it owns, and how many of them are no function. */
  owns: number
  ownsBeyondFunctions: number
}

const grantsOf = (acl: string, owner: string) => `
  select coalesce(r.rolname, 'public') as grantee, lower(a.privilege_type) as privilege, a.is_grantable as grantable
    from aclexplode(${acl}) a left join pg_roles r on r.oid = a.grantee where a.grantee <> ${owner}`

const namesOf = (relation: string, numbers: string) => `
  array(select coalesce(a.attname::text, '') from unnest(${numbers}) with ordinality as n (attnum, place)
    left join pg_attribute a on a.attrelid = ${relation} and a.attnum = n.attnum order by n.place)`

const all = (query: string) => `(select coalesce(jsonb_agg(to_jsonb(x)), '[]') from (${query}) x)`

/** Every relation of schema public that holds or shows rows. */
export const tables = async (db: Knex): Promise<TableFacts[]> => {
  const { rows } = await db.raw<{ rows: TableFacts[] }>(`
    select c.relname as name, case when c.relkind in ('r', 'p') then 'table' else 'other' end as kind,
      pg_get_userbyid(c.relowner) as owner, c.relrowsecurity as "rowSecurity", c.relforcerowsecurity as forced,
      ${all(`
        select a.attname as name, format_type(a.atttypid, null) as type, a.attnotnull as "notNull", a.atthasdef as filled
          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum`)} as columns,
      ${all(`
        select p.polname as name, p.polpermissive as permissive,
            case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
              else 'all' end as command,
            array(select case when r = 0 then 'public' else pg_get_userbyid(r) end from unnest(p.polroles) r) as roles,
            pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as check
          from pg_policy p where p.polrelid = c.oid`)} as policies,
      ${all(`
        select k.conname as name, ${namesOf('k.conrelid', 'k.conkey')} as columns, t.relname as target,
            ${namesOf('k.confrelid', 'k.confkey')} as "targetColumns"
          from pg_constraint k join pg_class t on t.oid = k.confrelid
          where k.conrelid = c.oid and k.contype = 'f'`)} as "foreignKeys",
      (select coalesce(jsonb_agg(${namesOf('i.indrelid', 'i.indkey::smallint[]')}), '[]') from pg_index i
        where i.indrelid = c.oid and i.indisvalid and i.indpred is null) as indexes,
      ${all(`
        select g.*, null as column from (${grantsOf(`coalesce(c.relacl, acldefault('r', c.relowner))`, 'c.relowner')}) g
        union all
        select g.*, a.attname from pg_attribute a, lateral (${grantsOf('a.attacl', 'c.relowner')}) g
          where a.attrelid = c.oid and a.attacl is not null`)} as grants
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    order by c.relname`)
  return rows
}

/** Every function of schema public. */
export const functions = async (db: Knex): Promise<FunctionFacts[]> => {
  const { rows } = await db.raw<{ rows: FunctionFacts[] }>(`
    select p.proname as name, pg_get_userbyid(p.proowner) as owner, p.prosecdef as definer,
      p.prorettype::regtype::text as returns, to_jsonb(coalesce(p.proconfig, '{}')) as settings,
      ${all(grantsOf(`coalesce(p.proacl, acldefault('f', p.proowner))`, 'p.proowner'))} as grants
    from pg_proc p where p.pronamespace = 'public'::regnamespace order by p.proname`)
  return (rows as unknown as (FunctionFacts & { grants: GrantFacts[] })[]).map(({ grants, ...rest }) => ({
    ...rest,
    executors: grants.map((grant) => grant.grantee),
  }))
}

/** The roles of Portico that exist. */
export const roles = async (db: Knex): Promise<RoleFacts[]> => {
  const owned = (
    more: string,
  ) => `(select count(*)::int from pg_shdepend d where d.refclassid = 'pg_authid'::regclass
    and d.refobjid = r.oid and d.deptype = 'o' and d.dbid in (0, (select oid from pg_database where datname = current_database()))${more})`
  const { rows } = await db.raw<{ rows: RoleFacts[] }>(`
    select r.rolname as name, r.rolcanlogin as login, r.rolsuper as superuser, r.rolbypassrls as bypass,
      r.rolcreaterole or r.rolcreatedb or r.rolreplication as creates,
      array(select pg_get_userbyid(m.roleid)::text from pg_auth_members m where m.member = r.oid) as "memberOf",
      ${owned('')} as owns, ${owned(` and d.classid <> 'pg_proc'::regclass`)} as "ownsBeyondFunctions"
    from pg_roles r where r.rolname in ('portico_owner', 'portico_app', 'portico_lookup')`)
  return rows
}

/** Who, besides its owner, may create things in schema public. */
export const schemaCreators = async (db: Knex): Promise<string[]> => {
  const { rows } = await db.raw<{ rows: GrantFacts[] }>(`
    select g.* from pg_namespace n, lateral (${grantsOf(`coalesce(n.nspacl, acldefault('n', n.nspowner))`, 'n.nspowner')}) g
      where n.nspname = 'public'`)
  return rows.filter((grant) => grant.privilege === 'create').map((grant) => grant.grantee)
}

/** How many roles or databases have a tenant built into their settings. */
export const presetTenants = async (db: Knex): Promise<number> => {
  const { rows } = await db.raw<{ rows: { presets: number }[] }>(`
    select count(*)::int as presets from pg_db_role_setting s, unnest(s.setconfig) setting
      where setting ilike 'app.org_id=%'`)
  return rows[0]?.presets ?? 0
}
