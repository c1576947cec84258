/**
 * What the database must look like for tenants to be kept apart, judged against what PostgreSQL says of itself. Owns no
 * table; reads the system catalogues only, which any role may. Invariant: every table and function of schema public is
 * listed here by name, so that a new one cannot be served before somebody has said whose rows it holds.
 */
import type { Knex } from 'knex'
import type { FunctionFacts, PolicyFacts, RoleFacts, TableFacts } from './catalogue.repo.ts'
import * as repo from './catalogue.repo.ts'
import type { LookupFunction } from './transaction.ts'

export type TableClass =
  | 'tenant' // rows of one organisation each, under row security
  | 'platform' // rows of the installation as a whole
  | 'framework' // the migration tool's own

export const tableClasses: Readonly<Record<string, TableClass>> = {
  audit_events: 'tenant',
  authorization_codes: 'tenant',
  clients: 'platform',
  connections: 'tenant',
  directories: 'tenant',
  directory_tokens: 'tenant',
  domains: 'tenant',
  group_members: 'tenant',
  groups: 'tenant',
  identities: 'tenant',
  knex_migrations: 'framework',
  knex_migrations_lock: 'framework',
  login_flows: 'tenant',
  login_requests: 'platform',
  organisation_keys: 'tenant',
  organisations: 'platform',
  platform_audit_events: 'platform',
  platform_keys: 'platform',
  refresh_families: 'tenant',
  refresh_tokens: 'tenant',
  replay_keys: 'tenant',
  sessions: 'tenant',
  signing_keys: 'platform',
  users: 'tenant',
}

/** What each look-up may see. It answers with an organisation's ID, and its role sees no other column of anything. */
const lookups: Readonly<Record<LookupFunction, { table: string; columns: readonly string[] }>> = {
  org_of_connection: { table: 'connections', columns: ['id', 'org_id'] },
  org_of_directory: { table: 'directories', columns: ['id', 'org_id'] },
  org_of_domain: { table: 'domains', columns: ['name', 'org_id', 'verified_at'] },
  org_of_login_refusal: { table: 'audit_events', columns: ['id', 'org_id', 'action'] },
  org_of_user: { table: 'users', columns: ['id', 'org_id'] },
}

/** Functions that see no more than their caller does. */
const callerFunctions: readonly string[] = ['rotate_refresh_token']

/** Functions that act on all tenants at once, as the owner: each is an exception to be argued for in its migration. */
const ownerFunctions: readonly string[] = ['sweep_expired']

/** `CURRENT_ORG` in a comparison, as PostgreSQL prints it back. */
const TENANT_EXPRESSION = `(org_id = ( SELECT (NULLIF(current_setting('app.org_id'::text, true), ''::text))::uuid AS "nullif"))`
const SEARCH_PATH = 'search_path=public, pg_temp'
const ROW_PRIVILEGES = new Set(['select', 'insert', 'update', 'delete'])

export type Catalogue = {
  tables: TableFacts[]
  functions: FunctionFacts[]
  roles: RoleFacts[]
  schemaCreators: string[]
  presetTenants: number
}

/** What PostgreSQL says of itself; any role may ask. */
export const readCatalogue = async (db: Knex): Promise<Catalogue> => ({
  tables: await repo.tables(db),
  functions: await repo.functions(db),
  roles: await repo.roles(db),
  schemaCreators: await repo.schemaCreators(db),
  presetTenants: await repo.presetTenants(db),
})

/** A condition that must not hold, and how to say that it does. */
type Fault = readonly [boolean, string]

const said = (of: string, faults: readonly Fault[]): string[] =>
  faults.filter(([wrong]) => wrong).map(([, sentence]) => `${of} ${sentence}`)

const normalised = (expression: string | null): string => (expression ?? '').replace(/\s+/g, ' ').trim()

const policiesFor = (table: TableFacts, role: string): PolicyFacts[] =>
  table.policies.filter((policy) => policy.roles.includes(role) || policy.roles.includes('public'))

/** Policies are joined by OR, so the right one beside a second permissive one would protect nothing. */
const isOnlyPolicy = (policies: PolicyFacts[], expression: string): boolean => {
  const [policy, ...further] = policies.filter(({ permissive }) => permissive)
  return (
    policy !== undefined &&
    further.length === 0 &&
    policy.command === 'all' &&
    normalised(policy.using) === expression &&
    normalised(policy.check) === expression
  )
}

const lookupColumns = (table: string): string[] =>
  Object.values(lookups).flatMap((lookup) => (lookup.table === table ? lookup.columns : []))

/** Grants that no table may carry, whatever its class. */
const grantFaults = (table: TableFacts, appMay: ReadonlySet<string>): Fault[] => {
  const columns = lookupColumns(table.name)
  return table.grants.map(({ grantee, privilege, column, grantable }) => {
    const allowed =
      (grantee === 'portico_app' && appMay.has(privilege)) ||
      (grantee === 'portico_lookup' && privilege === 'select' && column !== null && columns.includes(column))
    const what = column === null ? privilege : `${privilege} (${column})`
    return [!allowed || grantable, `grants ${what} to ${grantee}${grantable ? ' to pass on' : ''}`]
  })
}

/** A single-column key accepts another organisation's row; a composite one that leads with org_id cannot. */
const foreignKeyFaults = (table: TableFacts): Fault[] =>
  table.foreignKeys.map(({ name, target, columns, targetColumns }) => [
    tableClasses[target] === 'tenant' && (columns[0] !== 'org_id' || targetColumns[0] !== 'org_id'),
    `refers to tenant table ${target} by ${name}, which does not lead with org_id`,
  ])

const tenantFaults = (table: TableFacts): Fault[] => {
  const orgId = table.columns.find(({ name }) => name === 'org_id')
  const lookupPolicies = policiesFor(table, 'portico_lookup')
  const known = new Set(['portico_app', 'portico_owner', 'portico_lookup'])
  return [
    [orgId?.type !== 'uuid' || !orgId.notNull, 'has no org_id uuid not null'],
    [!table.rowSecurity, 'has row security off'],
    [!table.forced, 'does not force row security on its owner'],
    [
      !isOnlyPolicy(policiesFor(table, 'portico_app'), TENANT_EXPRESSION),
      'has not exactly the tenant policy for portico_app',
    ],
    [
      !isOnlyPolicy(policiesFor(table, 'portico_owner'), 'true'),
      'has not exactly the migrations policy for portico_owner',
    ],
    [lookupPolicies.some(({ command }) => command !== 'select'), 'lets portico_lookup do more than select'],
    [
      lookupPolicies.some(({ name }) => lookups[name as LookupFunction]?.table !== table.name),
      'has a policy for portico_lookup that belongs to no look-up',
    ],
    [
      table.policies.some(({ roles }) => roles.some((role) => !known.has(role))),
      'has a policy for a role that is none of Portico’s',
    ],
    [!table.indexes.some((columns) => columns[0] === 'org_id'), 'has no index that leads with org_id'],
    [
      !table.foreignKeys.some(
        ({ target, columns }) => target === 'organisations' && columns.join() === 'org_id',
      ),
      'does not refer to organisations by org_id',
    ],
  ]
}

const APP_MAY: Readonly<Record<TableClass, ReadonlySet<string>>> = {
  tenant: ROW_PRIVILEGES,
  platform: ROW_PRIVILEGES,
  framework: new Set(['select']),
}

const tableFaults = (table: TableFacts): string[] => {
  const tableClass = tableClasses[table.name]
  if (tableClass === undefined) return [`${table.name} is not classified in src/db/catalogue.ts`]
  return said(table.name, [
    // A view answers with its owner's eyes, a foreign table with none.
    [table.kind !== 'table', 'is no table'],
    [table.owner !== 'portico_owner', `belongs to ${table.owner}`],
    ...(tableClass === 'tenant' ? tenantFaults(table) : []),
    ...foreignKeyFaults(table),
    ...grantFaults(table, APP_MAY[tableClass]),
  ])
}

const functionFaults = (fn: FunctionFacts): string[] => {
  const isLookup = fn.name in lookups
  const isOwners = ownerFunctions.includes(fn.name)
  const definer = isLookup || isOwners
  return said(`${fn.name}()`, [
    [!definer && !callerFunctions.includes(fn.name), 'is not classified in src/db/catalogue.ts'],
    [fn.definer !== definer, definer ? 'is not security definer' : 'is security definer'],
    [fn.owner !== (isLookup ? 'portico_lookup' : 'portico_owner'), `belongs to ${fn.owner}`],
    [definer && fn.settings.join() !== SEARCH_PATH, 'has not its search_path set to public, pg_temp'],
    [isLookup && fn.returns !== 'uuid', 'returns more than an organisation’s ID'],
    ...fn.executors.map((who): Fault => [who !== 'portico_app', `may be executed by ${who}`]),
  ])
}

const MEMBERSHIPS: Readonly<Record<string, readonly string[]>> = {
  portico_owner: ['portico_lookup'],
  portico_app: [],
  portico_lookup: [],
}

const roleFaults = (role: RoleFacts): string[] =>
  said(role.name, [
    [role.superuser, 'is a superuser'],
    [role.bypass, 'has BYPASSRLS'],
    [role.creates, 'may create roles or databases, or replicate'],
    [role.name === 'portico_lookup' && role.login, 'can log in'],
    [role.name === 'portico_app' && role.owns > 0, `owns ${role.owns} object(s)`],
    [role.name === 'portico_lookup' && role.ownsBeyondFunctions > 0, 'owns more than functions'],
    ...role.memberOf.map(
      (group): Fault => [!MEMBERSHIPS[role.name]?.includes(group), `is a member of ${group}`],
    ),
  ])

/** Everything listed must be there: a check that finds nothing to check would be green for ever. */
const absences = ({ tables, functions, roles }: Catalogue): string[] => {
  const missing = (kind: string, wanted: readonly string[], found: readonly { name: string }[]): string[] =>
    wanted
      .filter((name) => !found.some((each) => each.name === name))
      .map((name) => `${kind} ${name} is missing`)
  return [
    ...missing('table', Object.keys(tableClasses), tables),
    ...missing('function', [...Object.keys(lookups), ...callerFunctions, ...ownerFunctions], functions),
    ...missing('role', Object.keys(MEMBERSHIPS), roles),
  ]
}

/** One sentence for every way in which tenants would not be kept apart; none where all is well. */
export const judgeCatalogue = (catalogue: Catalogue): string[] => [
  ...absences(catalogue),
  ...catalogue.tables.flatMap((table) => tableFaults(table)),
  ...catalogue.functions.flatMap(functionFaults),
  ...catalogue.roles.flatMap(roleFaults),
  ...catalogue.schemaCreators.map((who) => `schema public lets ${who} create things in it`),
  ...(catalogue.presetTenants > 0 ? ['app.org_id is preset for a role or a database'] : []),
]
