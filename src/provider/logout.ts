import type { Audit } from '../audit/audit.ts'
import type { Clients } from '../clients/clients.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { toId } from '../core/ids.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { TokenIssuer } from '../tokens/access-token.ts'
import type { EndSessions } from '../tokens/end-session.ts'

type Parameters = Readonly<Record<string, string>>

export type Logout = ReturnType<typeof createLogout>

/** RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). */
export const createLogout = ({
  issuer,
  clients,
  endSessions,
  audit,
}: {
  issuer: TokenIssuer
  clients: Clients
  endSessions: EndSessions
  audit: Audit
}) => {
  const end = (ctx: OrgCtx, sessionId: string): Promise<void> =>
    inTx(ctx, async (tx) => {
      if (await endSessions.one(tx, sessionId, 'signed_out')) {
        await audit.record(tx, { action: 'session.signed_out', target: { type: 'session', id: sessionId } })
      }
    })

  /**
   * The session that an app names by an ID token of ours ends at once: only it has that token. Returns where the
   * browser goes: the exact registered address of that app, else undefined.
   */
  const byHint = async (
    ctx: Ctx,
    parameters: Parameters,
  ): Promise<{ ended: boolean; redirectTo: string | undefined }> => {
    const hint = parameters.id_token_hint
    const found = hint === undefined ? null : await issuer.sessionOfIdToken(ctx, hint)
    if (found === null) return { ended: false, redirectTo: undefined }
    const orgCtx = { ...forOrg(ctx, found.orgId), actor: { type: 'client', id: found.clientId } as const }
    await end(orgCtx, found.sessionId)
    const client = await clients.find(ctx, toId('cli', found.clientId))
    const wanted = parameters.post_logout_redirect_uri
    if (!client || wanted === undefined || !client.postLogoutRedirectUris.includes(wanted)) {
      return { ended: true, redirectTo: undefined }
    }
    const url = new URL(wanted)
    if (parameters.state !== undefined) url.searchParams.append('state', parameters.state)
    return { ended: true, redirectTo: url.href }
  }

  return { byHint, end }
}
