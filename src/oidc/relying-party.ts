import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  type IDToken,
} from 'openid-client'
import { type BeginRequest, type Begun, type Expects, refusal } from '../connections/contract.ts'
import { toSeconds } from '../core/clock.ts'
import { equalBytes, randomToken } from '../crypto/hash.ts'
import { checkIdToken } from './id-token.ts'
import type { Provider, Registration } from './provider.ts'
import { toRefusal } from './refusals.ts'

/**
 * The one way to openid-client for a sign-in. What the library leaves to each call (state, nonce, PKCE, that there is
 * an ID token at all) is not a parameter here, so it cannot be left out.
 */

/** What a flow keeps between the two halves. */
const EXPECTED = ['state', 'nonce', 'codeVerifier'] as const

/** The authorization request (OpenID Connect Core section 3.1.2.1, RFC 7636). */
export const authorize = async (
  provider: Provider,
  registration: Registration,
  redirectUri: string,
  { request, now }: { request: BeginRequest; now: Date },
): Promise<Begun> => {
  const { config } = registration
  const [state, nonce, codeVerifier] = [randomToken(), randomToken(), randomToken()]
  const optional = {
    ...(config.responseMode === 'form_post' && { response_mode: 'form_post' }),
    ...(config.acrValues.length > 0 && { acr_values: config.acrValues.join(' ') }),
    ...(request.loginHint !== undefined && { login_hint: request.loginHint }),
    ...(request.forceAuthentication && { prompt: 'login' }),
  }
  const parameters = {
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: config.scopes.join(' '),
    state,
    nonce,
    code_challenge: await calculatePKCECodeChallenge(codeVerifier),
    code_challenge_method: 'S256',
    ...optional,
  }
  const forced = request.forceAuthentication ? { authenticatedSince: String(toSeconds(now)) } : {}
  return {
    to: { redirect: urlTo(provider, parameters, now) },
    flowId: state,
    expects: { state, nonce, codeVerifier, ...forced },
  }
}

const urlTo = (provider: Provider, parameters: Record<string, string>, now: Date): string => {
  try {
    return buildAuthorizationUrl(provider.at(now), parameters).href
  } catch (error) {
    throw toRefusal(error)
  }
}

/** Before anything is asked of anyone: this answer belongs to this flow, and comes from the IdP that was asked. */
const checkCallback = (provider: Provider, parameters: CallbackParameters, expects: Expects): void => {
  if (parameters.state === undefined) throw refusal('malformed', { absent: 'state' })
  if (!equalBytes(Buffer.from(parameters.state), Buffer.from(expects.state ?? '')))
    throw refusal('request_mismatch')
  const { issuer, authorization_response_iss_parameter_supported: advertised } = provider.metadata
  // RFC 9207 section 2.4; the library only looks where it is advertised or present, and so do we, with our own reason.
  if (parameters.iss === undefined ? Boolean(advertised) : parameters.iss !== issuer) {
    throw refusal('response_issuer_mismatch', { expected: issuer, received: parameters.iss?.slice(0, 300) })
  }
  if (!parameters.code && !parameters.error) throw refusal('malformed', { absent: 'code' })
}

type CallbackParameters = Readonly<Record<string, string>>

/**
 * Redeems the code and verifies the ID token.
 * @throws AppError made by `refusal`
 */
export const redeem = async (
  provider: Provider,
  registration: Registration,
  redirectUri: string,
  { parameters, expects, now }: { parameters: CallbackParameters; expects: Expects; now: Date },
): Promise<IDToken> => {
  for (const name of EXPECTED) if (!expects[name]) throw refusal('flow_unknown', { absent: name })
  checkCallback(provider, parameters, expects)
  // From our own configuration: a URL read from the request would be the Host header's word.
  const current = new URL(redirectUri)
  for (const [name, value] of Object.entries(parameters)) current.searchParams.append(name, value)
  const { state = '', nonce = '', codeVerifier = '' } = expects
  try {
    const tokens = await authorizationCodeGrant(provider.at(now), current, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: codeVerifier,
      idTokenExpected: true,
    })
    const claims = tokens.claims()
    if (!claims) throw refusal('token_invalid', { absent: 'id_token' })
    checkIdToken({
      claims,
      accessToken: tokens.access_token,
      algorithm: registration.config.idTokenAlgorithm,
      clientId: registration.clientId,
      authenticatedSince:
        expects.authenticatedSince === undefined ? null : Number(expects.authenticatedSince),
      now,
    })
    return claims
  } catch (error) {
    throw toRefusal(error)
  }
}
