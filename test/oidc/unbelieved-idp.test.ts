import { generateKeyPairSync } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RefusalReason } from '../../src/connections/contract.ts'
import {
  answering,
  type Bend,
  hangingUp,
  type MisbehavingOp,
  startMisbehavingOp,
  without,
} from '../support/misbehaving-op.ts'
import { openTo, refusalOf, signIn } from './opening.ts'

let op: MisbehavingOp
let elsewhere: MisbehavingOp

beforeAll(async () => {
  op = await startMisbehavingOp()
  elsewhere = await startMisbehavingOp()
})
afterAll(async () => {
  await op.close()
  await elsewhere.close()
})

const shortKey = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })

const redirecting: RequestListener = (_request, response) => {
  response.writeHead(307, { location: `${elsewhere.address}/token` }).end()
}

describe('an IdP is not believed', () => {
  const table: [string, RefusalReason, string, Bend][] = [
    [
      'that says it is another issuer',
      'idp_misconfigured',
      'discovery_issuer',
      {
        discovery: (d) => ({ ...d, issuer: `${String(d.issuer)}/` }),
      },
    ],
    [
      'that has no token endpoint',
      'idp_misconfigured',
      'discovery_incomplete',
      { discovery: without('token_endpoint') },
    ],
    [
      'that knows no client authentication of ours',
      'idp_misconfigured',
      'client_authentication',
      {
        discovery: (d) => ({ ...d, token_endpoint_auth_methods_supported: ['tls_client_auth'] }),
      },
    ],
    [
      'whose token endpoint redirects',
      'idp_misconfigured',
      'outbound_redirect_refused',
      {
        tokenEndpoint: redirecting,
      },
    ],
    [
      'whose discovery redirects',
      'idp_misconfigured',
      'outbound_redirect_refused',
      { discoveryEndpoint: redirecting },
    ],
    [
      'whose keys are 10 MB',
      'idp_misconfigured',
      'outbound_too_large',
      {
        jwks: (keys) => ({ keys, padding: 'a'.repeat(10 * 1024 * 1024) }),
      },
    ],
    [
      'whose keys lie in the cloud metadata service',
      'idp_misconfigured',
      'outbound_scheme_refused',
      {
        discovery: (d) => ({ ...d, jwks_uri: 'http://169.254.169.254/jwks' }),
      },
    ],
    [
      'whose token endpoint lies in a private network',
      'idp_misconfigured',
      'outbound_address_refused',
      {
        discovery: (d) => ({ ...d, token_endpoint: 'https://10.0.0.1/token' }),
      },
    ],
    [
      'whose keys are no keys',
      'idp_misconfigured',
      'OAUTH_INVALID_RESPONSE',
      { jwks: () => ({ keys: 'none' }) },
    ],
    [
      'whose key is no RSA key',
      'idp_misconfigured',
      'a published key cannot be used',
      { jwks: (keys) => ({ keys: keys.map(({ kid, kty, alg }) => ({ kid, kty, alg })) }) },
    ],
    [
      'whose RSA key is too short',
      'idp_misconfigured',
      'OAUTH_UNSUPPORTED_OPERATION',
      { jwks: (keys) => ({ keys: keys.map((key) => ({ ...key, ...shortKey })) }) },
    ],
    [
      'whose discovery is a web page',
      'idp_misconfigured',
      'OAUTH_RESPONSE_IS_NOT_JSON',
      {
        discoveryEndpoint: answering(200, '<html>', { 'content-type': 'text/html' }),
      },
    ],
    [
      'that does not know the path',
      'idp_misconfigured',
      'OAUTH_RESPONSE_IS_NOT_CONFORM',
      {
        discoveryEndpoint: answering(404, '{}'),
      },
    ],
    [
      'that is broken',
      'idp_unreachable',
      'OAUTH_RESPONSE_IS_NOT_CONFORM',
      { discoveryEndpoint: answering(503, '{}') },
    ],
    ['that hangs up', 'idp_unreachable', 'outbound_failed', { discoveryEndpoint: hangingUp }],
    ['whose token endpoint hangs up', 'idp_unreachable', 'outbound_failed', { tokenEndpoint: hangingUp }],
    [
      'that does not know our client',
      'idp_misconfigured',
      'invalid_client',
      {
        tokenEndpoint: answering(401, '{"error":"invalid_client"}', {
          'www-authenticate': 'Basic realm="op"',
        }),
      },
    ],
    [
      'that lets our client do nothing',
      'idp_misconfigured',
      'unauthorized_client',
      {
        tokenEndpoint: answering(400, '{"error":"unauthorized_client"}'),
      },
    ],
    [
      'that will not redeem the code',
      'code_refused',
      'invalid_grant',
      {
        tokenEndpoint: answering(400, '{"error":"invalid_grant"}'),
      },
    ],
    ['that gives no ID token', 'idp_misconfigured', 'OAUTH_INVALID_RESPONSE', { token: without('id_token') }],
    [
      'that gives no access token',
      'idp_misconfigured',
      'OAUTH_INVALID_RESPONSE',
      { token: without('access_token') },
    ],
    [
      'whose token type is unknown',
      'token_invalid',
      'OAUTH_UNSUPPORTED_OPERATION',
      {
        token: (answer) => ({ ...answer, token_type: 'mac' }),
      },
    ],
  ]

  it.each(table)('%s: %s', async (_name, reason, fault, bend) => {
    op.bend(bend)
    const refused = await refusalOf(signIn(openTo(op)))
    expect([refused.reason, refused.error.detail?.fault]).toEqual([reason, fault])
    op.bend({})
    await signIn(openTo(op))
  })

  it('whose client secret is not ours, in the header or in the body', async () => {
    op.bend({})
    for (const clientAuthentication of ['client_secret_basic', 'client_secret_post']) {
      const config = { clientAuthentication }
      const { reason } = await refusalOf(signIn(openTo(op, { config, secret: 'not the secret' })))
      expect(reason).toBe('idp_misconfigured')
      await signIn(openTo(op, { config }))
    }
  })
})
