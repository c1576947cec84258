import { connect } from 'node:tls'
import { type Config, isProduction } from '../config/schema.ts'
import type { Ctx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { toId } from '../core/ids.ts'
import { createEnvelope } from '../crypto/envelope.ts'
import { judgeCatalogue, readCatalogue } from '../db/catalogue.ts'
import { asDatabaseFault } from '../db/faults.ts'
import { migrationStatus } from '../db/migrations.ts'
import type { Database } from '../db/pool.ts'
import { demandServingRole } from '../db/roles.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Services } from '../services.ts'

/** One sentence: what was found and, where it is not well, what to do. */
export type Finding = { check: string; level: 'ok' | 'warning' | 'fault'; finding: string }

type Verdict = Omit<Finding, 'check'>

export type Patient = {
  config: Config
  db: Database
  ctx: Ctx
  masterKey: () => Buffer
  services: () => Services
}

const DAY_MS = 86_400_000
const CERTIFICATE_WARNING_DAYS = 60
const SIGNING_KEY_MAX_DAYS = 90
const SKEW_WARNING_MS = 1_000
const SKEW_FAULT_MS = 30_000
const SWEEP_LATE_HOURS = 2

/** The minor release of each major that this version of Portico was tried with, or its siblings of the same day. */
const PATCH_LEVELS: Readonly<Record<number, number>> = { 15: 18, 16: 14, 17: 10, 18: 4 }

const ok = (finding: string): Verdict => ({ level: 'ok', finding })
const warning = (finding: string): Verdict => ({ level: 'warning', finding })
const fault = (finding: string): Verdict => ({ level: 'fault', finding })

const role = async ({ db }: Patient): Promise<Verdict> => {
  await demandServingRole(db)
  return ok('The application’s role owns nothing and cannot bypass row security.')
}

const rowSecurity = async ({ db }: Patient): Promise<Verdict> => {
  const faults = judgeCatalogue(await readCatalogue(db))
  if (faults.length === 0)
    return ok('Every table is classified, and every tenant table is under forced row security.')
  return fault(
    `${faults.length} thing(s) in the schema are not as they must be, first: ${faults[0]}. Run portico migrate up, or undo what was changed by hand.`,
  )
}

const postgres = async ({ db }: Patient): Promise<Verdict> => {
  const { rows } = await db.raw<{ rows: { version: number }[] }>(
    `select current_setting('server_version_num')::int as version`,
  )
  const version = rows[0]?.version ?? 0
  const [major, minor] = [Math.floor(version / 10_000), version % 10_000]
  if (major < 15) return fault(`PostgreSQL ${major} is too old; Portico needs 15 or newer.`)
  const current = PATCH_LEVELS[major]
  if (current !== undefined && minor < current) {
    return warning(
      `PostgreSQL ${major}.${minor} lacks fixes; ${major}.${current} or newer is out. Update it.`,
    )
  }
  return ok(`PostgreSQL ${major}.${minor}.`)
}

const migrations = async ({ db }: Patient): Promise<Verdict> => {
  const { applied, missing, unknown } = await migrationStatus(db)
  if (missing.length > 0)
    return fault(`${missing.length} migration(s) are missing, first ${missing[0]}. Run portico migrate up.`)
  if (unknown.length > 0)
    return fault(`The schema is newer than this version (${unknown[0]}). Run the version that made it.`)
  return ok(`All ${applied.length} migrations are applied.`)
}

const clock = async ({ db }: Patient): Promise<Verdict> => {
  const before = Date.now()
  const { rows } = await db.raw<{ rows: { now: Date }[] }>('select clock_timestamp() as now')
  const skew = Math.round((rows[0]?.now.getTime() ?? 0) - (before + Date.now()) / 2)
  const finding = `This machine’s clock and the database’s differ by ${Math.abs(skew)} ms`
  if (Math.abs(skew) > SKEW_FAULT_MS)
    return fault(`${finding}: sign-ins and tokens will be refused. Set up time synchronisation on both.`)
  if (Math.abs(skew) > SKEW_WARNING_MS) return warning(`${finding}. Set up time synchronisation on both.`)
  return ok(`${finding}.`)
}

const masterKey = async ({ ctx, masterKey }: Patient): Promise<Verdict> => {
  const envelope = createEnvelope({ kek: masterKey() })
  // A round trip through the platform's real key; rolled back, so that it leaves nothing behind.
  const rollback = new Error('rolled back on purpose')
  const place = { table: 'doctor', column: 'probe', row: 'probe' }
  await inTx(ctx, async (tx) => {
    const opened = await envelope.openForPlatform(
      tx,
      place,
      await envelope.sealForPlatform(tx, place, 'probe'),
    )
    if (opened.toString() !== 'probe')
      throw new AppError('internal', 'unsealing_failed', 'The master key does not open what it sealed.')
    throw rollback
  }).catch((error: unknown) => {
    if (error === rollback) return
    if (error instanceof AppError && error.code === 'unsealing_failed') {
      throw new AppError(
        'invalid',
        'master_key',
        'The master key is not the one this database was sealed with. Bring back the right one; without it stored secrets are lost.',
      )
    }
    throw error
  })
  return ok('The master key opens what this database holds.')
}

const signingKeys = async ({ ctx, services }: Patient): Promise<Verdict> => {
  const states = await services().keys.states(ctx)
  const active = states.find((key) => key.state === 'active')
  if (!active) return warning('There are no signing keys yet; they are made when the broker first starts.')
  const days = Math.floor((Date.now() - (active.activatedAt ?? active.publishedAt).getTime()) / DAY_MS)
  if (days > SIGNING_KEY_MAX_DAYS)
    return warning(`The active signing key is ${days} days old. Run portico keys rotate.`)
  return ok(`The active signing key is ${days} day(s) old, and the next one is published.`)
}

const baseUrl = async ({ config }: Patient): Promise<Verdict> => {
  if (!isProduction(config))
    return ok(`The base URL ${config.baseUrl} is plain http on this machine: for trying and developing only.`)
  const { hostname, port } = new URL(config.baseUrl)
  const found = await handshake(hostname, Number(port || 443)).catch((error: Error) => error)
  if (found instanceof Error)
    return warning(
      `The base URL ${config.baseUrl} does not answer over TLS from here (${found.message}). Check the proxy and its certificate.`,
    )
  const days = Math.floor((found.notAfter.getTime() - Date.now()) / DAY_MS)
  if (found.protocol !== 'TLSv1.3')
    return warning(`The base URL speaks ${found.protocol}; let the proxy speak TLS 1.3.`)
  if (days < CERTIFICATE_WARNING_DAYS / 4)
    return warning(`The certificate of the base URL ends in ${days} day(s). Renew it.`)
  return ok(`The base URL answers over TLS 1.3 with a certificate for ${days} more days.`)
}

const handshake = (host: string, port: number): Promise<{ protocol: string; notAfter: Date }> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port, servername: host, timeout: 3_000 }, () => {
      resolve({
        protocol: socket.getProtocol() ?? 'unknown',
        notAfter: new Date(socket.getPeerCertificate().valid_to),
      })
      socket.end()
    })
    socket.on('timeout', () => socket.destroy(new Error('no answer within 3 s')))
    socket.on('error', reject)
  })

const certificates = async ({ ctx, services }: Patient): Promise<Verdict> => {
  const { organisations, connections } = services()
  const last = new Map<string, Date>()
  for (const organisation of await organisations.list(ctx)) {
    for (const { connection, at } of await connections.expiries(forOrg(ctx, organisation.id))) {
      const id = toId('con', connection.id)
      const known = last.get(id)
      if (known === undefined || known < at) last.set(id, at)
    }
  }
  const horizon = new Date(Date.now() + CERTIFICATE_WARNING_DAYS * DAY_MS)
  const ending = [...last].filter(([, at]) => at < horizon).sort(([, a], [, b]) => a.getTime() - b.getTime())
  const [first] = ending
  if (!first)
    return ok(
      `No IdP certificate of ${last.size} connection(s) ends within ${CERTIFICATE_WARNING_DAYS} days.`,
    )
  const [id, at] = first
  const sentence = `${ending.length} connection(s) lose their last IdP certificate soon, first ${id} on ${at.toISOString().slice(0, 10)}. Ask that company’s IT team for new metadata and run portico connection update ${id} --metadata.`
  return at < new Date() ? fault(sentence) : warning(sentence)
}

const background = async ({ db }: Patient): Promise<Verdict> => {
  const { rows } = await db.raw<{ rows: { late: number }[] }>(
    `select count(*)::int as late from login_requests where expires_at < now() - make_interval(hours => ?)`,
    [SWEEP_LATE_HOURS],
  )
  const late = rows[0]?.late ?? 0
  if (late > 0)
    return warning(
      `${late} expired sign-ins have not been swept for ${SWEEP_LATE_HOURS} hours. Is a broker running?`,
    )
  return ok('Background work is up to date: nothing expired waits to be swept.')
}

const CHECKS: readonly [check: string, run: (patient: Patient) => Promise<Verdict>][] = [
  ['role', role],
  ['migrations', migrations],
  ['row security', rowSecurity],
  ['postgresql', postgres],
  ['clock', clock],
  ['master key', masterKey],
  ['signing keys', signingKeys],
  ['base url', baseUrl],
  ['certificates', certificates],
  ['background work', background],
]

/** PostgreSQL's undefined_table and undefined_function: the migrations check says what to do about it. */
const LACKING = new Set(['42P01', '42883'])

const asVerdict = (thrown: unknown): Verdict => {
  if (LACKING.has((thrown as { code?: string }).code ?? ''))
    return fault('Not examined: the schema is incomplete.')
  const error = asDatabaseFault(thrown)
  return fault(error instanceof Error ? error.message : String(error))
}

/** Every check, whatever the one before it found. */
export const examine = async (patient: Patient): Promise<Finding[]> => {
  const findings: Finding[] = []
  for (const [check, run] of CHECKS) {
    const verdict = await run(patient).catch(asVerdict)
    findings.push({ check, ...verdict })
  }
  return findings
}
