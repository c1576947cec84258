/**
 * Connections: one IdP of one organisation each. Owns `connections`. Invariants: what a type may store is what its zod
 * schema admits; its secret fields are sealed and never shown; only an enabled connection, complete by its type's own
 * word, signs anybody in.
 */
import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid, toId } from '../core/ids.ts'
import type { Envelope, Place } from '../crypto/envelope.ts'
import { inTx } from '../db/transaction.ts'
import type { Connection, ConnectionChange, ConnectionStatus } from './connection.ts'
import * as repo from './connections.repo.ts'
import type { ConnectionType, OpenConnection, OutboundFetch } from './contract.ts'

export type Connections = ReturnType<typeof createConnections>

const notFound = (): AppError =>
  new AppError('not_found', 'connection_not_found', 'There is no such connection.')

/** @throws AppError `invalid`/`connection_name` */
const demandName = (name: string): string => {
  const trimmed = name.trim()
  if (trimmed.length === 0 || trimmed.length > 200) {
    throw new AppError('invalid', 'connection_name', 'A connection needs a name of 1 to 200 characters.')
  }
  return trimmed
}

const placeOf = (id: string): Place => ({ table: 'connections', column: 'secrets_sealed', row: id })

export const createConnections = ({
  types,
  envelope,
  audit,
  clock,
  fetch,
  baseUrl,
}: {
  types: readonly ConnectionType[]
  envelope: Envelope
  audit: Audit
  clock: Clock
  fetch: OutboundFetch
  baseUrl: string
}) => {
  const byType = new Map(types.map((type) => [type.type, type]))

  const typeOf = (name: string): ConnectionType => {
    const type = byType.get(name)
    if (!type) {
      throw new AppError(
        'invalid',
        'connection_type',
        `“${name.slice(0, 50)}” is not a connection type; there are: ${[...byType.keys()].join(', ')}.`,
      )
    }
    return type
  }

  const validated = (type: ConnectionType, config: unknown): Record<string, unknown> => {
    const parsed = type.config.safeParse(config)
    if (parsed.success) return parsed.data as Record<string, unknown>
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'it'}: ${issue.message}`)
    throw new AppError(
      'invalid',
      'connection_config',
      `The configuration of the ${type.label} connection is not right: ${faults.join('; ')}.`,
    )
  }

  /** A setting that a newer version has is absent from rows stored before it: it reads as its default. */
  const withDefaults = (type: ConnectionType, config: Record<string, unknown>): unknown => {
    const parsed = type.config.safeParse(config)
    return parsed.success ? parsed.data : config
  }

  const openSecrets = async (
    tx: OrgTx,
    id: string,
    sealed: Buffer | null,
  ): Promise<Record<string, string>> =>
    sealed === null ? {} : JSON.parse((await envelope.open(tx, placeOf(id), sealed)).toString())

  const sealSecrets = (tx: OrgTx, id: string, secrets: Record<string, string>): Promise<Buffer> =>
    envelope.seal(tx, placeOf(id), JSON.stringify(secrets))

  const demandSecretFields = (type: ConnectionType, secrets: Record<string, string>): void => {
    const stranger = Object.keys(secrets).find((name) => !type.secretFields.includes(name))
    if (stranger !== undefined)
      throw new AppError(
        'invalid',
        'connection_config',
        `${type.label} has no secret named ${stranger.slice(0, 50)}.`,
      )
  }

  const present = (connection: Connection) => ({
    ...connection,
    urls: typeOf(connection.type).urls(baseUrl, toId('con', connection.id)),
  })

  /** A draft: its URLs exist from now on, so that the IdP's side can be set up before ours is complete. */
  const create = (ctx: OrgCtx, request: { type: string; name: string } & ConnectionChange) =>
    inTx(ctx, async (tx) => {
      const type = typeOf(request.type)
      const name = demandName(request.name)
      const draft = await type.draft()
      const id = newUuid()
      const connection: Connection = {
        id,
        type: type.type,
        name,
        status: 'draft',
        config: validated(type, draft.config),
        rules: { linkKey: 'externalId', linkByEmail: false, justInTime: 'auto', admitGuests: false },
      }
      await repo.insert(tx, connection, await sealSecrets(tx, id, draft.secrets), clock.now())
      await audit.record(tx, {
        action: 'connection.created',
        target: { type: 'connection', id },
        facts: { type: type.type, name },
      })
      return update(tx, id, { config: request.config, secrets: request.secrets, rules: request.rules })
    })

  const lock = async (tx: OrgTx, id: string) => {
    const found = await repo.findForUpdate(tx, id)
    if (!found) throw notFound()
    return found
  }

  /** @throws AppError `conflict`/`connection_incomplete` saying what lacks */
  const demandComplete = (
    { type, config }: Connection,
    secrets: Record<string, string>,
    consequence: string,
  ): void => {
    const missing = typeOf(type).missing(config, secrets)
    if (missing.length === 0) return
    throw new AppError('conflict', 'connection_incomplete', `${consequence} It lacks: ${missing.join(', ')}.`)
  }

  const changedBy = (connection: Connection, { name, config, rules }: ConnectionChange): Connection => ({
    ...connection,
    name: name === undefined ? connection.name : demandName(name),
    config: validated(typeOf(connection.type), { ...connection.config, ...config }),
    rules: { ...connection.rules, ...definedOnly(rules ?? {}) },
  })

  /**
   * @throws AppError `invalid`/`connection_config` naming the field; `conflict`/`connection_incomplete` where an enabled
   *   connection would no longer have all that it needs
   */
  const update = (ctx: OrgCtx, id: string, change: ConnectionChange) =>
    inTx(ctx, async (tx) => {
      const { connection, secretsSealed } = await lock(tx, id)
      const { secrets: changedSecrets = {} } = change
      demandSecretFields(typeOf(connection.type), changedSecrets)
      const after = changedBy(connection, change)
      const secrets = { ...(await openSecrets(tx, id, secretsSealed)), ...changedSecrets }
      if (after.status === 'enabled') {
        demandComplete(after, secrets, 'The connection is enabled and would stop working.')
      }
      const sealed = change.secrets ? await sealSecrets(tx, id, secrets) : secretsSealed
      await repo.update(tx, after, sealed, clock.now())
      const changed = changedNames(connection, change)
      if (changed.length > 0) {
        await audit.record(tx, {
          action: 'connection.updated',
          target: { type: 'connection', id },
          facts: { changed },
        })
      }
      return present(after)
    })

  /** Applies an IdP's metadata document. @throws AppError `invalid` naming the element */
  const importMetadata = (ctx: OrgCtx, id: string, xml: string) =>
    inTx(ctx, async (tx) => {
      const { connection } = await lock(tx, id)
      const type = typeOf(connection.type)
      if (!type.importMetadata)
        throw new AppError(
          'invalid',
          'metadata_unsupported',
          `${type.label} connections have no metadata to import.`,
        )
      return update(tx, id, { config: type.importMetadata(xml, clock.now()) as Record<string, unknown> })
    })

  /** @throws AppError `conflict`/`connection_incomplete` saying what lacks */
  const enable = (ctx: OrgCtx, id: string) =>
    inTx(ctx, async (tx) => {
      const { connection, secretsSealed } = await lock(tx, id)
      const secrets = await openSecrets(tx, id, secretsSealed)
      demandComplete(connection, secrets, 'The connection cannot be enabled yet.')
      return setStatus(tx, connection, 'enabled')
    })

  const disable = (ctx: OrgCtx, id: string) =>
    inTx(ctx, async (tx) => setStatus(tx, (await lock(tx, id)).connection, 'disabled'))

  const setStatus = async (tx: OrgTx, connection: Connection, status: ConnectionStatus) => {
    await repo.setStatus(tx, connection.id, status, clock.now())
    await audit.record(tx, {
      action: `connection.${status}`,
      target: { type: 'connection', id: connection.id },
    })
    return present({ ...connection, status })
  }

  const remove = (ctx: OrgCtx, id: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      if (!(await repo.remove(tx, id))) throw notFound()
      await audit.record(tx, { action: 'connection.deleted', target: { type: 'connection', id } })
    })

  const get = (ctx: OrgCtx, id: string) =>
    inTx(ctx, async (tx) => {
      const found = await repo.find(tx, id)
      if (!found) throw notFound()
      return present(found.connection)
    })

  const list = (ctx: OrgCtx) => inTx(ctx, async (tx) => (await repo.list(tx)).map(present))

  /** What ends by itself in the organisation's enabled connections, and when. */
  const expiries = (ctx: OrgCtx): Promise<{ connection: Connection; what: string; at: Date }[]> =>
    inTx(ctx, async (tx) =>
      (await repo.list(tx))
        .filter((connection) => connection.status === 'enabled')
        .flatMap((connection) =>
          (typeOf(connection.type).expiries?.(connection.config) ?? []).map((end) => ({
            connection,
            ...end,
          })),
        ),
    )

  /** The connection, ready to begin and finish sign-ins, whatever its status. */
  const open = (ctx: OrgCtx, id: string): Promise<{ connection: Connection; opened: OpenConnection }> =>
    inTx(ctx, async (tx) => {
      const found = await repo.find(tx, id)
      if (!found) throw notFound()
      const { connection, secretsSealed } = found
      const type = typeOf(connection.type)
      const record = {
        id: toId('con', id),
        name: connection.name,
        baseUrl,
        config: withDefaults(type, connection.config),
        secrets: await openSecrets(tx, id, secretsSealed),
      }
      return { connection, opened: type.open(record, { fetch, clock }) }
    })

  /** True if enabled, and stays so until the transaction ends: a login in flight meets a disabling one way or the other. */
  const holdEnabled = (tx: OrgTx, id: string): Promise<boolean> => repo.holdEnabled(tx, id)

  /** The enabled connection that answers for a domain: the one assigned to it, else the organisation's only one. */
  const forDomain = (ctx: OrgCtx, assigned: string | null): Promise<string | undefined> =>
    inTx(ctx, async (tx) => {
      const enabled = (await repo.list(tx)).filter((connection) => connection.status === 'enabled')
      if (assigned !== null) return enabled.find((connection) => connection.id === assigned)?.id
      return enabled.length === 1 ? enabled[0]?.id : undefined
    })

  return {
    create,
    update,
    importMetadata,
    enable,
    disable,
    remove,
    get,
    list,
    expiries,
    open,
    holdEnabled,
    forDomain,
  }
}

/** What a change speaks of, for the trail: names, never values. */
const changedNames = ({ name }: Connection, change: ConnectionChange): string[] => [
  ...(change.name === undefined || change.name.trim() === name ? [] : ['name']),
  ...Object.keys(change.config ?? {}),
  ...Object.keys(change.secrets ?? {}),
  ...Object.keys(change.rules ?? {}),
]

const definedOnly = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T
