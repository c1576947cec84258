import type { z } from 'zod'
import type { Clock } from '../core/clock.ts'
import { AppError, type Kind } from '../core/errors.ts'

/** A user's subject at one connection, as the IdP proved it. Everything here was read from verified bytes only. */
export type VerifiedIdentity = {
  /** Stable and unique at this connection: SAML NameID; OIDC `sub` (Entra: `tid` + `oid`). */
  subject: string
  /** What `linkKey` compares, in either reading. */
  linkValues: { externalId: string | undefined; userName: string | undefined }
  email: string | undefined
  /** False where the IdP says so, or is one whose word must not count; undefined where it says nothing. */
  emailVerified: boolean | undefined
  displayName: string | undefined
  givenName: string | undefined
  familyName: string | undefined
  /** Null-prototype. */
  attributes: Readonly<Record<string, readonly string[]>>
  /** `overage`: the IdP says there are more than it lists, so membership is unknown, never empty. */
  groups: readonly string[] | 'overage'
  acr: string | undefined
  amr: readonly string[]
  authTime: Date
  /** The session at the IdP (SAML SessionIndex, OIDC `sid`), for logout. */
  sessionIndex: string | undefined
  /** Stored by the journey in the transaction that creates the session: a second use is refused. */
  replay: { key: string; until: Date }
}

/** Why a sign-in was refused: a closed list, each with its own sentence on the error page. */
export type RefusalReason =
  // the message from the IdP
  | 'malformed'
  | 'structure_refused'
  | 'signature_missing'
  | 'signature_invalid'
  | 'algorithm_refused'
  | 'certificate_unusable'
  | 'certificate_expired'
  | 'encrypted_assertion_refused'
  | 'issuer_mismatch'
  | 'audience_mismatch'
  | 'recipient_mismatch'
  | 'destination_mismatch'
  | 'request_mismatch'
  | 'nonce_mismatch'
  | 'expired'
  | 'not_yet_valid'
  | 'confirmation_refused'
  | 'conditions_refused'
  | 'authentication_missing'
  | 'subject_missing'
  | 'subject_malformed'
  | 'encrypted_id_refused'
  | 'attribute_ambiguous'
  | 'token_invalid'
  | 'token_hash_mismatch' // at_hash: the access token is not the one that the ID token was issued with
  | 'token_stale' // issued longer ago than any fresh sign-in
  | 'lifetime_refused' // valid for longer than any sign-in has need of
  | 'key_unknown' // signed with a key that the IdP does not publish
  | 'authorized_party_mismatch' // azp
  | 'response_issuer_mismatch' // RFC 9207: the answer names another IdP than the one asked (mix-up)
  | 'code_refused' // the IdP would not redeem the authorization code: used, too old, or another's
  | 'authentication_stale' // a fresh authentication was asked for and an old one came back
  | 'opinions_differ'
  | 'opinion_timeout' // the second reader did not come to an end
  | 'decryption_failed' // whatever the cause: who sends ciphertext learns nothing from the refusal
  | 'context_mismatch' // authenticated in another way than the connection demands
  | 'idp_refused'
  | 'idp_unreachable'
  | 'idp_misconfigured'
  // the journey around it
  | 'flow_unknown'
  | 'unsolicited'
  | 'replayed'
  | 'connection_disabled'
  | 'request_expired'
  | 'user_unknown'
  | 'user_inactive'
  | 'user_deleted'
  | 'email_outside_domains'
  | 'link_conflict'

const UPSTREAM: ReadonlySet<RefusalReason> = new Set(['idp_unreachable', 'idp_misconfigured'])

/**
 * The error of a refused sign-in. `detail` (expected and received values) goes to the log and the trace, never to the
 * browser, and never holds an assertion, a token or a secret.
 */
export const refusal = (
  reason: RefusalReason,
  detail: Record<string, unknown> = {},
  cause?: unknown,
): AppError => {
  const kind: Kind = UPSTREAM.has(reason) ? 'upstream' : 'forbidden'
  return new AppError(kind, reason, 'This sign-in was refused.', { detail, cause })
}

/** What comes back through the browser. Each parameter once; a repeated one is refused before it gets here. */
export type Callback = {
  method: 'GET' | 'POST'
  query: Readonly<Record<string, string>>
  form: Readonly<Record<string, string>>
}

/** What one flow must answer to; JSON, sealed by the journey, handed back to `finish` of the same flow only. */
export type Expects = Readonly<Record<string, string>>

export type BeginRequest = {
  /** The address the person typed, for the IdP's login_hint; never trusted afterwards. */
  loginHint: string | undefined
  /** Ask the IdP to authenticate anew (ForceAuthn, prompt=login). */
  forceAuthentication: boolean
}

export type Begun = {
  /** Where the browser goes. A form is posted by a page of ours. */
  to: { redirect: string } | { form: { action: string; fields: Readonly<Record<string, string>> } }
  /** The opaque handle that comes back (RelayState, state); 256 random bits. */
  flowId: string
  expects: Expects
}

/** One connection as its type sees it: config validated, secrets opened, URLs derived from the base URL. */
export type ConnectionRecord<Config = unknown> = {
  /** `con_…` */
  id: string
  name: string
  baseUrl: string
  config: Config
  secrets: Readonly<Record<string, string>>
}

export type OutboundFetch = (url: string | URL, init?: RequestInit) => Promise<Response>

export type OpenDeps = { fetch: OutboundFetch; clock: Clock }

export type OpenConnection = {
  begin: (request: BeginRequest) => Promise<Begun>
  /** The flow a callback claims to belong to; null: none (IdP-initiated). Reads, trusts nothing. */
  flowId: (callback: Callback) => string | null
  /**
   * Verifies; touches no database.
   * @throws AppError made by `refusal`
   */
  finish: (input: Callback & { now: Date; expects: Expects }) => Promise<VerifiedIdentity>
  /** Asks the IdP's side what can be asked without a user. @throws AppError made by `refusal` */
  test: () => Promise<void>
  /** SP metadata, where the type has such a thing. */
  metadata?: () => string
}

/**
 * A kind of IdP. A new one is a folder and a line in services.ts; storage, the journey and the CLI are driven by this.
 */
export type ConnectionType<Config = unknown> = {
  type: string
  label: string
  /** Where its callbacks arrive: `/{type}/{con}/{path}`, by these methods. */
  callback: { path: string; methods: readonly ('GET' | 'POST')[] }
  config: z.ZodType<Config>
  /** Names of settings that are sealed and never shown. */
  secretFields: readonly string[]
  // Written as methods, so that a type of one particular Config is a ConnectionType to whoever holds many.
  /** Config and secrets of a new draft: the URLs and keys an IdP wants exist before the IdP's side does. */
  draft(): Promise<{ config: Config; secrets: Record<string, string> }>
  /** What still lacks before it can be enabled, in plain words; empty: nothing. */
  missing(config: Config, secrets: Readonly<Record<string, string>>): string[]
  /** What an admin copies into the IdP, by name (`acsUrl`, `entityId`, `redirectUri`, …). */
  urls(baseUrl: string, id: string): Record<string, string>
  /** Config from the IdP's metadata document. @throws AppError `invalid` naming the element */
  importMetadata?(xml: string, now: Date): Partial<Config>
  /** What in the configuration stops working by itself one day, and when. */
  expiries?(config: Config): { what: string; at: Date }[]
  open(record: ConnectionRecord<Config>, deps: OpenDeps): OpenConnection
}
