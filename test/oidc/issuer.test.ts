import { describe, expect, it } from 'vitest'
import { OidcConfig } from '../../src/oidc/config.ts'
import { entraTenant, isLoopbackHttp, sentenceOnIssuer } from '../../src/oidc/issuer.ts'

const TENANT = '7b1c6a1e-2f0e-4a51-9d5f-3f6f2f1d0c11'

describe('an issuer is taken', () => {
  it.each([
    'https://idp.example.com',
    'https://tenant.auth0.example/',
    'https://example.okta.com/oauth2/default',
    'https://accounts.google.com',
    `https://login.microsoftonline.com/${TENANT}/v2.0`,
    `https://login.microsoftonline.us/${TENANT}/v2.0`,
    'http://localhost:4000',
    'http://idp.localhost:4000/realm',
    'http://127.0.0.1:4000',
    'http://[::1]:4000',
  ])('%s', (issuer) => {
    expect(sentenceOnIssuer(issuer)).toBeNull()
    expect(OidcConfig.parse({ issuer }).issuer).toBe(issuer)
  })
})

describe('an issuer is refused with a sentence', () => {
  it.each([
    ['idp.example.com', /must be a URL/],
    ['http://idp.example.com', /https/],
    ['http://localhost.example.com', /https/],
    ['http://127.0.0.1.example.com', /https/],
    ['javascript:alert(1)', /https/],
    ['https://user:secret@idp.example.com', /credentials/],
    ['https://idp.example.com?tenant=a', /query/],
    ['https://idp.example.com?', /query/],
    ['https://idp.example.com#a', /fragment/],
    ['https://idp.example.com/.well-known/openid-configuration', /before \/\.well-known/],
    ['https://login.microsoftonline.com/common/v2.0', /one tenant/],
    ['https://login.microsoftonline.com/organizations/v2.0', /one tenant/],
    ['https://login.microsoftonline.com/consumers/v2.0', /one tenant/],
    ['https://login.microsoftonline.com/{tenantid}/v2.0', /template/],
    ['https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0', /one tenant/],
    [`https://login.microsoftonline.com/${TENANT.toUpperCase()}/v2.0`, /lower case/],
    [`https://login.microsoftonline.com/${TENANT}`, /one tenant/],
    [`https://LOGIN.microsoftonline.com/common/v2.0`, /one tenant/],
    [`https://sts.windows.net/${TENANT}/`, /v2\.0 issuer/],
  ])('%s', (issuer, sentence) => {
    expect(sentenceOnIssuer(issuer)).toMatch(sentence)
    expect(OidcConfig.safeParse({ issuer }).success).toBe(false)
  })
})

describe('an Entra issuer', () => {
  it('names its tenant, and no other issuer does', () => {
    expect(entraTenant(`https://login.microsoftonline.com/${TENANT}/v2.0`)).toBe(TENANT)
    expect(entraTenant(`https://idp.example.com/${TENANT}/v2.0`)).toBeNull()
    expect(entraTenant(`https://login.microsoftonline.com.example.com/${TENANT}/v2.0`)).toBeNull()
  })
})

describe('plain http', () => {
  it('is for loopback names and addresses only', () => {
    expect(isLoopbackHttp('http://localhost:1')).toBe(true)
    expect(isLoopbackHttp('https://localhost:1')).toBe(false)
    expect(isLoopbackHttp('http://notlocalhost')).toBe(false)
    expect(isLoopbackHttp('http://10.0.0.1')).toBe(false)
  })
})
