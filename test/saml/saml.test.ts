import { createPrivateKey, verify, X509Certificate } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import { getVerifiedXml } from '@node-saml/node-saml/lib/xml.js'
import { beforeAll, describe, expect, it } from 'vitest'
import type { OpenConnection } from '../../src/connections/contract.ts'
import { type SamlConfig, SP_PRIVATE_KEY } from '../../src/saml/config.ts'
import { attributeOf, childElements, readXml, textOf } from '../../src/saml/xml-tree.ts'
import { certificatePem, samlConnection } from './fixture-connection.ts'

const now = new Date('2026-01-15T09:00:00Z')
const deps = { fetch: () => Promise.reject(new Error('no network')), clock: { now: () => now } }
const id = 'con_01jhgz5w8be9d8hqk3v5n2c7xm'
const baseUrl = 'https://portico.example'
const limits = {
  characters: 19_999,
  elements: 99,
  depth: 9,
  attributes: 9,
  allAttributes: 99,
  names: 99,
  comments: false,
}
const parse = (xml: string): Element => readXml(xml, limits, (fault) => new Error(fault.what))

let draft: Awaited<ReturnType<typeof samlConnection.draft>>
beforeAll(async () => {
  draft = await samlConnection.draft()
})

const open = (over: Partial<SamlConfig> = {}): OpenConnection =>
  samlConnection.open(
    {
      id,
      name: 'Acme',
      baseUrl,
      config: {
        ...draft.config,
        idpEntityId: 'https://idp.example/entity',
        ssoUrl: 'https://idp.example/sso?tenant=1',
        certificates: [certificatePem('idp')],
        ...over,
      },
      secrets: draft.secrets,
    },
    deps,
  )

const begin = async (connection: OpenConnection, forceAuthentication = false) => {
  const begun = await connection.begin({ loginHint: undefined, forceAuthentication })
  const redirect = 'redirect' in begun.to ? begun.to.redirect : ''
  const url = new URL(redirect)
  const request = inflateRawSync(Buffer.from(url.searchParams.get('SAMLRequest') ?? '', 'base64')).toString()
  return { ...begun, redirect, url, request: parse(request) }
}

describe('a draft', () => {
  it('has a key pair whose halves belong together, and a long life', () => {
    const certificate = new X509Certificate(draft.config.spCertificate)
    expect(certificate.checkPrivateKey(createPrivateKey(draft.secrets[SP_PRIVATE_KEY] ?? ''))).toBe(true)
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048)
    expect(new Date(certificate.validTo).getUTCFullYear() - new Date().getUTCFullYear()).toBe(20)
  })

  it('is valid configuration, holds no secret in it, and is a new one each time', async () => {
    expect(samlConnection.config.parse(JSON.parse(JSON.stringify(draft.config)))).toEqual(draft.config)
    expect(JSON.stringify(draft.config)).not.toContain('PRIVATE')
    expect((await samlConnection.draft()).config.spCertificate).not.toBe(draft.config.spCertificate)
  })

  it('says what lacks, and cannot begin a sign-in', async () => {
    expect(samlConnection.missing(draft.config, {})).toHaveLength(4)
    const connection = samlConnection.open({ id, name: 'Acme', baseUrl, ...draft }, deps)
    await expect(
      connection.begin({ loginHint: undefined, forceAuthentication: false }),
    ).rejects.toMatchObject({
      code: 'idp_misconfigured',
    })
    await expect(connection.test()).rejects.toMatchObject({ code: 'idp_misconfigured' })
    await expect(open().test()).resolves.toBeUndefined()
  })

  it('has its addresses before anything else is known', () => {
    expect(samlConnection.urls(`${baseUrl}/`, id)).toEqual({
      acsUrl: `${baseUrl}/saml/${id}/acs`,
      entityId: `${baseUrl}/saml/${id}/metadata`,
      metadataUrl: `${baseUrl}/saml/${id}/metadata`,
    })
  })
})

describe('configuration', () => {
  it.each([
    [{ certificates: ['not a certificate'] }],
    [{ certificates: [certificatePem('weak')] }],
    [{ ssoUrl: 'ftp://idp.example' }],
    [{ ssoUrl: 'https://idp.example/#x' }],
    [{ surplus: true }],
  ])('is refused: %#', (over) => {
    const merge = (more: object) => samlConnection.config.safeParse({ ...draft.config, ...more })
    expect(merge(over).success).toBe(false)
    expect(
      merge({ ssoUrl: 'http://localhost:8080/sso', certificates: [certificatePem('idp')] }).success,
    ).toBe(true)
  })
})

describe('a request to the IdP', () => {
  it('is signed over the very characters of the query', async () => {
    const { redirect } = await begin(open())
    const [signed, signature] = redirect.slice(redirect.indexOf('SAMLRequest=')).split('&Signature=')
    const key = new X509Certificate(draft.config.spCertificate).publicKey
    const bytes = Buffer.from(decodeURIComponent(signature ?? ''), 'base64')
    expect(verify('sha256', Buffer.from(signed ?? ''), key, bytes)).toBe(true)
    expect(signed).toContain('&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256')
  })

  it('names us, the IdP and itself', async () => {
    const { url, request, flowId, expects } = await begin(open())
    expect(url.searchParams.get('tenant')).toBe('1')
    expect(url.searchParams.get('RelayState')).toBe(flowId)
    expect(expects).toEqual({ requestId: attributeOf(request, 'ID') })
    expect(expects.requestId).toMatch(/^_[0-9a-f]{40}$/)
    expect(attributeOf(request, 'Destination')).toBe('https://idp.example/sso?tenant=1')
    expect(attributeOf(request, 'AssertionConsumerServiceURL')).toBe(`${baseUrl}/saml/${id}/acs`)
    expect(attributeOf(request, 'IssueInstant')).toBe(now.toISOString())
    expect(childElements(request).map((child) => child.localName)).toEqual(['Issuer', 'NameIDPolicy'])
    expect(textOf(childElements(request)[0] as Element)).toBe(`${baseUrl}/saml/${id}/metadata`)
  })

  it('asks for a new authentication and for a name format only when told to', async () => {
    const plain = await begin(open())
    const asked = await begin(open({ nameIdFormat: 'urn:x:"&<' }), true)
    expect(attributeOf(plain.request, 'ForceAuthn')).toBeUndefined()
    expect(attributeOf(asked.request, 'ForceAuthn')).toBe('true')
    const policy = ({ request }: typeof plain) => attributeOf(childElements(request)[1] as Element, 'Format')
    expect([policy(plain), policy(asked)]).toEqual([undefined, 'urn:x:"&<'])
  })

  it('asks for an authentication context where the connection has one, and for a new one by the clock', async () => {
    const classes = ['urn:x:"&<', 'urn:y']
    const { request, expects } = await begin(
      open({ authnContext: { classes, comparison: 'minimum', alsoAccepted: [], enforced: true } }),
      true,
    )
    const context = childElements(request)[2] as Element
    expect(context.localName).toBe('RequestedAuthnContext')
    expect(attributeOf(context, 'Comparison')).toBe('minimum')
    expect(childElements(context).map(textOf)).toEqual(classes)
    expect(expects.authenticatedAfter).toBe(now.toISOString())
  })

  it('travels by POST where the connection wants that or the IdP takes nothing else, signed inside', async () => {
    const ssoPostUrl = 'https://idp.example/post'
    const redirect = await begin(open({ ssoPostUrl }))
    expect(redirect.url.host).toBe('idp.example')
    for (const over of [{ requestBinding: 'post' as const }, { ssoUrl: null }]) {
      const { to, flowId, expects } = await open({ ssoPostUrl, ...over }).begin({
        loginHint: undefined,
        forceAuthentication: false,
      })
      const { action, fields } = 'form' in to ? to.form : { action: '', fields: {} }
      expect(action).toBe(ssoPostUrl)
      expect(fields.RelayState).toBe(flowId)
      const xml = Buffer.from(fields.SAMLRequest ?? '', 'base64').toString()
      const request = parse(xml)
      expect(attributeOf(request, 'ID')).toBe(expects.requestId)
      expect(attributeOf(request, 'Destination')).toBe(ssoPostUrl)
      expect(childElements(request).map((child) => child.localName)).toEqual([
        'Issuer',
        'Signature',
        'NameIDPolicy',
      ])
      expect(xml).toContain('xmldsig-more#rsa-sha256')
      const verified = getVerifiedXml(xml, request, [draft.config.spCertificate])
      expect(verified).toContain(`ID="${expects.requestId}"`)
      expect(getVerifiedXml(xml.replace('post"', 'other"'), request, [certificatePem('idp')])).toBeNull()
    }
  })

  it('never repeats its ID or its handle', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => begin(open())))
    expect(new Set(many.flatMap(({ flowId, expects }) => [flowId, expects.requestId])).size).toBe(40)
  })
})

describe('the flow that an answer claims', () => {
  const flowOf = (RelayState: string, method: 'GET' | 'POST' = 'POST') =>
    open().flowId({ method, query: {}, form: { RelayState } })

  it('is the handle that was sent, in its exact shape, by POST', async () => {
    const { flowId } = await begin(open())
    expect(flowOf(flowId)).toBe(flowId)
    expect(flowOf(flowId, 'GET')).toBeNull()
    expect(flowOf(`${flowId}x`)).toBeNull()
    expect(flowOf('https://evil.example/')).toBeNull()
    expect(open().flowId({ method: 'POST', query: { RelayState: flowId }, form: {} })).toBeNull()
  })
})

describe('our metadata', () => {
  it('follows the order of the schema and names our certificate and addresses', () => {
    const root = parse(open({ nameIdFormat: 'urn:x' }).metadata?.() ?? '')
    const [role] = childElements(root)
    expect(attributeOf(root, 'entityID')).toBe(`${baseUrl}/saml/${id}/metadata`)
    expect(attributeOf(role as Element, 'AuthnRequestsSigned')).toBe('true')
    expect(attributeOf(role as Element, 'WantAssertionsSigned')).toBe('true')
    const parts = childElements(role as Element)
    expect(parts.map((part) => part.localName)).toEqual([
      'KeyDescriptor',
      'NameIDFormat',
      'AssertionConsumerService',
    ])
    expect(attributeOf(parts[2] as Element, 'Location')).toBe(`${baseUrl}/saml/${id}/acs`)
    const published = parts[0]?.textContent?.replace(/\s/g, '') ?? ''
    expect(new X509Certificate(Buffer.from(published, 'base64')).toString()).toBe(
      new X509Certificate(draft.config.spCertificate).toString(),
    )
  })
})

describe('a certificate that has run out', () => {
  it('is said when the connection is tested', async () => {
    await expect(open({ certificates: [certificatePem('expired')] }).test()).rejects.toMatchObject({
      code: 'certificate_unusable',
    })
  })
})
