import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { addSeconds } from '../core/clock.ts'
import type { Ctx, OrgCtx, OrgTx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import { mintCredential, parseCredential } from '../crypto/credentials.ts'
import { equalBytes, sha256 } from '../crypto/hash.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import type { Session } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import * as repo from './codes.repo.ts'
import type { RefreshTokens } from './refresh.ts'
import { holdActiveUser, type TokenUser } from './token-user.repo.ts'

/** RFC 9700 section 2.1.1 wants it short; the app redeems it at once. */
const CODE_LIFETIME_SECONDS = 60

export type CodeRequest = {
  clientId: string
  redirectUri: string
  /** S256 (RFC 7636 section 4.2); no other method is offered. */
  codeChallenge: string
  scope: string
  nonce: string | null
}

/** What a redeemed code stands for; `refreshToken` where `offline_access` was granted. */
export type CodeGrant = {
  ctx: OrgCtx
  session: Session
  user: TokenUser
  scope: string
  nonce: string | null
  refreshToken: string | undefined
}

export type Codes = ReturnType<typeof createCodes>

const invalidGrant = (): AppError =>
  new AppError(
    'invalid',
    'invalid_grant',
    'The code is not valid: unknown, used, expired, or not made for this request.',
  )

/** RFC 7636 section 4.1; a shorter one could be guessed from its challenge, which travels through the browser. */
const VERIFIER = /^[A-Za-z0-9._~-]{43,128}$/

const matchesChallenge = (verifier: string, challenge: string): boolean =>
  VERIFIER.test(verifier) &&
  equalBytes(Buffer.from(sha256(verifier).toString('base64url')), Buffer.from(challenge))

export const createCodes = ({
  clock,
  sessions,
  refreshTokens,
  audit,
}: {
  clock: Clock
  sessions: Sessions
  refreshTokens: RefreshTokens
  audit: Audit
}) => {
  /** A code for a session, in the transaction that created or resumed it. Returns what goes into the redirect. */
  const issue = async (tx: OrgTx, session: Session, request: CodeRequest): Promise<string> => {
    const { id, token, hash } = mintCredential('code', tx.orgId)
    await repo.insert(tx, {
      id,
      hash,
      session_id: session.id,
      user_id: session.userId,
      client_id: request.clientId,
      redirect_uri: request.redirectUri,
      code_challenge: request.codeChallenge,
      scope: request.scope,
      nonce: request.nonce,
      expires_at: addSeconds(clock.now(), CODE_LIFETIME_SECONDS),
    })
    return token
  }

  const isForThisRequest = (row: repo.CodeRow, redemption: Redemption): boolean =>
    equalBytes(row.hash, redemption.hash) &&
    row.client_id === redemption.clientId &&
    row.redirect_uri === redemption.redirectUri &&
    matchesChallenge(redemption.codeVerifier, row.code_challenge)

  const grant = async (tx: OrgTx, row: repo.CodeRow): Promise<Omit<CodeGrant, 'ctx'> | 'reused' | 'over'> => {
    if (row.consumed_at !== null) return 'reused'
    const user = await holdActiveUser(tx, row.user_id)
    const session = await sessions.holdLive(tx, row.session_id)
    if (!user || !session) return 'over'
    const offline = row.scope.split(' ').includes('offline_access')
    const familyId = offline ? newUuid() : null
    if (!(await repo.consume(tx, row.id, clock.now(), familyId))) {
      // Expired, or someone else was faster: only the second is a reuse.
      return row.expires_at > clock.now() ? 'reused' : 'over'
    }
    const refreshToken =
      familyId === null
        ? undefined
        : await refreshTokens.openFamily(tx, {
            id: familyId,
            session,
            clientId: row.client_id,
            scope: row.scope,
          })
    await audit.record(tx, {
      action: 'token.issued',
      target: { type: 'session', id: session.id },
      actor: { type: 'client', id: row.client_id },
      facts: { user: user.id },
    })
    return { session, user, scope: row.scope, nonce: row.nonce, refreshToken }
  }

  /**
   * RFC 9700 section 4.5: a code that comes twice was seen by somebody; what it gave ends. Counted into one row, since
   * it can come as often as its holder likes.
   */
  const answerReuse = (ctx: OrgCtx, row: repo.CodeRow): Promise<void> =>
    inTx(ctx, async (tx) => {
      // A code that died with its session was used by nobody, and nothing that it could have given is left.
      if (!(await sessions.holdLive(tx, row.session_id))) return
      // Read again: the winner of the race has written its family only now.
      const familyId = (await repo.find(tx, row.id))?.family_id ?? null
      if (familyId !== null) await refreshTokens.endFamily(tx, familyId, 'code_reused')
      await audit.count(tx, {
        action: 'token.code_reused',
        outcome: 'refused',
        reason: 'code_reused',
        target: { type: 'session', id: row.session_id },
        actor: { type: 'client', id: row.client_id },
      })
    })

  type Redemption = { hash: Buffer; clientId: string; redirectUri: string; codeVerifier: string }

  /** @throws AppError `invalid`/`invalid_grant`, the same whatever was wrong */
  const redeem = async (
    ctx: Ctx,
    code: string,
    request: { clientId: string; redirectUri: string; codeVerifier: string },
  ): Promise<CodeGrant> => {
    const credential = parseCredential('code', code)
    if (!credential || credential.orgId === null) throw invalidGrant()
    const orgCtx = forOrg(ctx, credential.orgId)
    const redemption = { ...request, hash: credential.hash }
    const { row, outcome } = await inTx(orgCtx, async (tx) => {
      const found = await repo.find(tx, credential.id)
      if (!found || !isForThisRequest(found, redemption)) return { row: undefined, outcome: 'over' as const }
      return { row: found, outcome: await grant(tx, found) }
    })
    if (row && outcome === 'reused') await answerReuse(orgCtx, row)
    if (typeof outcome === 'string') throw invalidGrant()
    return { ctx: orgCtx, ...outcome }
  }

  return { issue, redeem }
}
