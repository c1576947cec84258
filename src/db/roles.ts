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

type RoleFacts = { name: string; superuser: boolean; bypass: boolean; owns: number; lookup: boolean }

/**
 * Refuses to serve as a role for which row security is decoration.
 * @throws AppError `forbidden`/`unsafe_database_role`
 */
export const demandServingRole = async (db: Knex): Promise<void> => {
  const { rows } = await db.raw<{ rows: RoleFacts[] }>(`
    select rolname as name, rolsuper as superuser, rolbypassrls as bypass,
      (select count(*)::int from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p') and pg_has_role(current_user, c.relowner, 'usage')) as owns,
      coalesce((select pg_has_role(current_user, oid, 'usage') from pg_roles where rolname = 'portico_lookup'), false) as lookup
    from pg_roles where rolname = current_user`)
  const role = rows[0] as RoleFacts
  const faults = [
    role.superuser && 'is a superuser',
    role.bypass && 'has BYPASSRLS',
    role.owns > 0 && 'owns tables',
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
