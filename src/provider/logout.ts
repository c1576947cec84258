import type { Audit } from '../audit/audit.ts'
import type { Clients } from '../clients/clients.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { toId } from '../core/ids.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Session } from '../sessions/session.ts'
import type { TokenIssuer } from '../tokens/access-token.ts'
import type { EndSessions } from '../tokens/end-session.ts'

type Parameters = Readonly<Record<string, string>>

/** The session that the browser's own cookie stands for. */
type Resumed = { session: Session }

type SignedOut = { forgetCookie: boolean; redirectTo: string | undefined }

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

  /** The exact registered address of that app, with the app's `state`; undefined where it registered no such one. */
  const wayBack = async (ctx: Ctx, clientId: string, parameters: Parameters): Promise<string | undefined> => {
    const client = await clients.find(ctx, clientId)
    const wanted = parameters.post_logout_redirect_uri
    if (!client || wanted === undefined || !client.postLogoutRedirectUris.includes(wanted)) return undefined
    const url = new URL(wanted)
    if (parameters.state !== undefined) url.searchParams.append('state', parameters.state)
    return url.href
  }

  /**
   * The session that an app names by an ID token of ours ends at once: only it has that token. So does the session of
   * the browser that brought it, where it is the same person's; somebody else's stays, or any app could be used to sign
   * people out by sending them here with a token of one's own. Null where no such token came.
   */
  const byHint = async (
    ctx: Ctx,
    parameters: Parameters,
    browser: Resumed | null,
  ): Promise<SignedOut | null> => {
    const hint = parameters.id_token_hint
    const found = hint === undefined ? null : await issuer.sessionOfIdToken(ctx, hint)
    if (found === null) return null
    const clientId = toId('cli', found.clientId)
    // RP-Initiated Logout section 2: a client_id beside the hint has to be the hint's.
    if (parameters.client_id !== undefined && parameters.client_id !== clientId) return null
    const orgCtx = { ...forOrg(ctx, found.orgId), actor: { type: 'client', id: found.clientId } as const }
    const own = browser?.session.userId === found.userId
    await end(orgCtx, found.sessionId)
    if (own && browser.session.id !== found.sessionId) await end(orgCtx, browser.session.id)
    return { forgetCookie: own, redirectTo: await wayBack(ctx, clientId, parameters) }
  }

  return { byHint, end }
}
