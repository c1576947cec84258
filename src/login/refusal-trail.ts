import type { Logger } from 'pino'
import type { Audit } from '../audit/audit.ts'
import type { RefusalReason } from '../connections/contract.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { parseId, toId } from '../core/ids.ts'
import { forOrg, inTx, lookUpOrg } from '../db/transaction.ts'
import { isRefusalReason } from './refusals.ts'

/** Where a sign-in was refused: at a connection of an organisation, or before any was known. */
export type RefusedAt = { ctx: OrgCtx; connectionId: string } | { ctx: Ctx; connectionId: null }

export type RefusalTrail = ReturnType<typeof createRefusalTrail>

/** Every refused sign-in leaves one audit row, whose ID is the reference that the person is shown. */
export const createRefusalTrail = ({ audit, logger }: { audit: Audit; logger: Logger }) => {
  const event = (reason: RefusalReason, connectionId: string | null) => ({
    action: 'login.refused',
    outcome: 'refused' as const,
    reason,
    ...(connectionId === null ? {} : { target: { type: 'connection', id: connectionId } }),
  })

  /**
   * Records a refusal and returns its reference (`evt_…`): a row of its own where `spend` used up something of ours for
   * it, so that one flow leaves one row; a counted row where anybody could have caused it.
   * @throws whatever `error` is, where it is not a refusal (the database, a defect)
   */
  const record = async (
    at: RefusedAt,
    error: unknown,
    spend: (tx: OrgTx) => Promise<boolean> = async () => false,
  ): Promise<string> => {
    if (!(error instanceof AppError) || !isRefusalReason(error.code)) throw error
    const { requestId } = at.ctx
    const refused = event(error.code, at.connectionId)
    logger.info(
      { requestId, reason: error.code, connection: at.connectionId, detail: error.detail },
      'login refused',
    )
    if (at.connectionId === null) return toId('evt', await audit.countForPlatform(at.ctx, refused))
    const id = await inTx(at.ctx, async (tx) =>
      (await spend(tx)) ? audit.record(tx, refused) : audit.count(tx, refused),
    )
    return toId('evt', id)
  }

  /** The reason behind a reference; undefined where there is none. */
  const reasonOf = async (ctx: Ctx, reference: string): Promise<RefusalReason | undefined> => {
    const id = parseId('evt', reference)
    if (id === null) return undefined
    const orgId = await lookUpOrg(ctx, 'org_of_login_refusal', id)
    const found =
      orgId === null
        ? await audit.findForPlatform(ctx, id)
        : await inTx(forOrg(ctx, orgId), (tx) => audit.find(tx, id))
    const reason = found?.action === 'login.refused' ? found.reason : null
    return reason !== null && reason !== undefined && isRefusalReason(reason) ? reason : undefined
  }

  return { record, reasonOf }
}
