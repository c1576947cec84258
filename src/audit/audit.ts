/**
 * The audit trail. Owns `audit_events` (one organisation's) and `platform_audit_events` (the installation's).
 * Invariants: an event is written in the transaction of what it records, so neither exists without the other;
 * facts hold names and numbers, never a secret, token, code or assertion; the application cannot delete or rewrite.
 */
import type { Clock } from '../core/clock.ts'
import type { Actor, Ctx, OrgTx, Tx } from '../core/ctx.ts'
import { newUuid } from '../core/ids.ts'
import * as repo from './audit.repo.ts'

export type AuditEvent = {
  /** `<thing>.<past participle>`: `user.deactivated`, `login.refused`. */
  action: string
  outcome?: 'success' | 'refused'
  /** The stable code of a refusal, or why something ended. */
  reason?: string
  /** What it happened to; a raw UUID. */
  target?: { type: string; id: string }
  facts?: Readonly<Record<string, unknown>>
  /** Where the actor became known only now (a login), it overrides the context's. */
  actor?: Actor
}

export type Audit = ReturnType<typeof createAudit>

export const createAudit = ({ clock }: { clock: Clock }) => {
  const toRow = (ctx: Ctx, event: AuditEvent): repo.AuditRow => {
    const actor = event.actor ?? ctx.actor
    return {
      id: newUuid(),
      at: clock.now(),
      action: event.action,
      outcome: event.outcome ?? 'success',
      reason: event.reason ?? null,
      actor_type: actor.type,
      actor_id: 'id' in actor ? actor.id : null,
      target_type: event.target?.type ?? null,
      target_id: event.target?.id ?? null,
      request_id: ctx.requestId,
      facts: JSON.stringify(event.facts ?? {}),
    }
  }

  /** Records an event of the context's organisation; returns its ID. */
  const record = async (tx: OrgTx, event: AuditEvent): Promise<string> => {
    const row = toRow(tx, event)
    await repo.insert(tx, row)
    return row.id
  }

  /** Records an event of the installation; returns its ID. */
  const recordForPlatform = async (tx: Tx<Ctx>, event: AuditEvent): Promise<string> => {
    const row = toRow(tx, event)
    await repo.insertForPlatform(tx, row)
    return row.id
  }

  const minuteKey = (event: AuditEvent): string =>
    [event.action, event.reason ?? '', event.target?.id ?? '', clock.now().toISOString().slice(0, 16)].join(
      '|',
    )

  /**
   * Counts a refusal that anyone can cause into one row per target, reason and minute, so that anonymous garbage
   * cannot fill the database. Returns the row's ID, which all of that minute share as their reference.
   */
  const count = (tx: OrgTx, event: AuditEvent): Promise<string> =>
    repo.count(tx, toRow(tx, event), minuteKey(event))

  /** As `count`, where no organisation is known. */
  const countForPlatform = (ctx: Ctx, event: AuditEvent): Promise<string> =>
    repo.countForPlatform(ctx, toRow(ctx, event), minuteKey(event))

  return {
    record,
    recordForPlatform,
    count,
    countForPlatform,
    find: repo.find,
    findForPlatform: repo.findForPlatform,
    list: repo.list,
  }
}
