/**
 * What platform apps talk to: authorize, token, userinfo, logout, discovery. Owns no table. A narrow profile of
 * OAuth 2.0 and OpenID Connect: authorization code with PKCE S256, exact redirect match, `iss` in every answer.
 * Implicit, hybrid and password grants are not offered, and never will be.
 */

import type { Client } from '../clients/client.ts'
import type { Clients } from '../clients/clients.ts'
import type { Ctx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import type { LoginRequest } from '../login/journey.ts'

export const SCOPES = ['openid', 'profile', 'email', 'offline_access'] as const

type Parameters = Readonly<Record<string, string>>

export type AuthorizeRequest = {
  client: Client
  login: LoginRequest
  /** `none`: answer without a page or not at all. */
  prompt: 'none' | 'login' | null
  loginHint: string | undefined
  /** An organisation's public ID. */
  org: string | undefined
  /** The sign-in may be so many seconds old. */
  maxAge: number | null
  /** An ID token of the person that the answer must be about. */
  idTokenHint: string | undefined
}

/** Refusals that go back to the app, at a redirect URI that is known to be its own. */
export type AuthorizeRefusal = {
  redirectUri: string
  state: string | null
  error: string
  description: string
}

type Check = { error: string; description: string; holds: (parameters: Parameters) => boolean }

const scopesOf = (parameters: Parameters): string[] =>
  (parameters.scope ?? 'openid').split(' ').filter(Boolean)

/** The request, line by line (RFC 6749 4.1.1, RFC 7636 4.3, OpenID Connect Core 3.1.2.1). */
const CHECKS: readonly Check[] = [
  {
    error: 'unsupported_response_type',
    description: 'Only response_type=code is offered.',
    holds: (p) => p.response_type === 'code',
  },
  {
    error: 'invalid_request',
    description: 'Only the query response mode is offered.',
    holds: (p) => p.response_mode === undefined || p.response_mode === 'query',
  },
  {
    error: 'invalid_request',
    description: 'PKCE is required: code_challenge with code_challenge_method=S256.',
    holds: (p) => p.code_challenge_method === 'S256' && /^[A-Za-z0-9_-]{43}$/.test(p.code_challenge ?? ''),
  },
  {
    error: 'invalid_scope',
    description: `The scopes are: ${SCOPES.join(' ')}; openid is required.`,
    holds: (p) =>
      scopesOf(p).includes('openid') && scopesOf(p).every((s) => (SCOPES as readonly string[]).includes(s)),
  },
  {
    error: 'request_not_supported',
    description: 'Request objects are not offered.',
    holds: (p) => p.request === undefined && p.request_uri === undefined,
  },
  {
    error: 'invalid_request',
    description: 'prompt is none or login.',
    holds: (p) => p.prompt === undefined || p.prompt === 'none' || p.prompt === 'login',
  },
  {
    error: 'invalid_request',
    description: 'max_age is a number of seconds.',
    holds: (p) => p.max_age === undefined || /^\d{1,9}$/.test(p.max_age),
  },
  {
    error: 'invalid_request',
    description: 'state and nonce have at most 1,024 characters.',
    holds: (p) => (p.state ?? '').length <= 1024 && (p.nonce ?? '').length <= 1024,
  },
  {
    // RFC 6749 appendix A has no such character anywhere, and PostgreSQL cannot keep it.
    error: 'invalid_request',
    description: 'A parameter holds a null character.',
    holds: (p) => Object.values(p).every((value) => !value.includes('\0')),
  },
]

/**
 * Client and redirect URI first: until both are known to belong together nothing goes back there.
 * @throws AppError `invalid`/`client_unknown` | `redirect_uri_unknown`, for a page
 */
const identifyClient = async (
  ctx: Ctx,
  clients: Clients,
  parameters: Parameters,
): Promise<{ client: Client; redirectUri: string }> => {
  const client = await clients.find(ctx, parameters.client_id ?? '')
  if (!client)
    throw new AppError('invalid', 'client_unknown', 'The app that sent you here is not registered.')
  const redirectUri = parameters.redirect_uri ?? ''
  // The exact registered string: no prefix, no normalisation (RFC 9700 section 2.1).
  if (!client.redirectUris.includes(redirectUri)) {
    throw new AppError(
      'invalid',
      'redirect_uri_unknown',
      'The app that sent you here asked to be answered at an address it has not registered.',
    )
  }
  return { client, redirectUri }
}

/** RFC 6749 section 3.1: a parameter without a value counts as left out. */
const withoutEmpty = (parameters: Parameters): Parameters =>
  Object.assign(
    Object.create(null),
    Object.fromEntries(Object.entries(parameters).filter(([, v]) => v !== '')),
  )

export const readAuthorizeRequest = async (
  ctx: Ctx,
  clients: Clients,
  sent: Parameters,
): Promise<{ request: AuthorizeRequest } | { refusal: AuthorizeRefusal }> => {
  const parameters = withoutEmpty(sent)
  const { client, redirectUri } = await identifyClient(ctx, clients, parameters)
  const state = parameters.state ?? null
  const failed = CHECKS.find((check) => !check.holds(parameters))
  if (failed) return { refusal: { redirectUri, state, error: failed.error, description: failed.description } }
  const prompt = (parameters.prompt ?? null) as AuthorizeRequest['prompt']
  const maxAge = parameters.max_age === undefined ? null : Number(parameters.max_age)
  return {
    request: {
      client,
      prompt,
      loginHint: parameters.login_hint,
      org: parameters.org,
      maxAge,
      idTokenHint: parameters.id_token_hint,
      login: {
        clientId: client.id,
        redirectUri,
        scope: scopesOf(parameters).join(' '),
        state,
        nonce: parameters.nonce ?? null,
        codeChallenge: parameters.code_challenge as string,
        // An IdP with a session of its own would answer from it: whoever limits the age asks for a new sign-in there.
        prompt: prompt === 'login' || maxAge !== null ? 'login' : null,
      },
    },
  }
}
