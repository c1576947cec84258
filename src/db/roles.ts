import type { Knex } from 'knex'
import { AppError } from '../core/errors.ts'

/**
 * The statements that make Portico's roles; run once by a superuser. The embedded database runs them itself,
 * `docs/operations.md` and the compose file show them for any other.
 * - `portico_owner` owns the schema and migrates it.
 * - `portico_app` serves: owns nothing, cannot bypass row security.
 * - `portico_lookup` owns the functions that find a tenant, and cannot log in.
 */
export const roleStatements = (passwords: { owner: string; app: string }): string[] => [
  `create role portico_owner login password '${passwords.owner}' nosuperuser nocreatedb nocreaterole nobypassrls`,
  `create role portico_app login password '${passwords.app}' nosuperuser nocreatedb nocreaterole nobypassrls`,
  'create role portico_lookup nologin nosuperuser nobypassrls',
  'grant portico_lookup to portico_owner',
]

type RoleFacts = { name: string; superuser: boolean; bypass: boolean; owns: boolean; lookup: boolean }

/**
 * Refuses to serve as a role for which row security is decoration, itself or as a role it could become: whoever
 * smuggles in one statement could smuggle in `set role`, too, which is why membership counts and not only inheritance.
 * @throws AppError `forbidden`/`unsafe_database_role`
 */
export const demandServingRole = async (db: Knex): Promise<void> => {
  const { rows } = await db.raw<{ rows: RoleFacts[] }>(`
    select current_user as name, bool_or(r.rolsuper) as superuser, bool_or(r.rolbypassrls) as bypass,
      bool_or(r.rolname = 'portico_lookup') as lookup,
      bool_or(exists (select 1 from pg_namespace n where n.nspname = 'public' and n.nspowner = r.oid)
        or exists (select 1 from pg_class c where c.relnamespace = 'public'::regnamespace and c.relowner = r.oid)) as owns
    from pg_roles r where pg_has_role(current_user, r.oid, 'member')`)
  const role = rows[0] as RoleFacts
  const faults = [
    role.superuser && 'is a superuser',
    role.bypass && 'has BYPASSRLS',
    role.owns && 'owns the schema or something in it',
    role.lookup && 'is a member of portico_lookup',
  ].filter((fault) => typeof fault === 'string')
  if (faults.length > 0) {
    throw new AppError(
      'forbidden',
      'unsafe_database_role',
      `Portico does not serve as the database role ${role.name}, which ${faults.join(' and ')}: tenants would not be kept apart. Point DATABASE_URL at portico_app.`,
    )
  }
}
