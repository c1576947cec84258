import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { SAML } from '@node-saml/node-saml'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OidcIdp, startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { listenLocally, loadPeer } from '../../src/demo/peers.ts'
import { createSigningIdentity, type SigningIdentity } from '../../src/demo/saml-certificate.ts'
import { type SamlIdp, startSamlIdp } from '../../src/demo/saml-idp.ts'
import { createUserAgent, type Page } from '../../src/demo/user-agent.ts'
import { ada, bob, people } from './people.ts'

const closing: (() => unknown)[] = []
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const agent = () => {
  const created = createUserAgent()
  closing.push(created.close)
  return created
}

describe('the SAML IdP', () => {
  const ACS = 'https://broker.portico.test/saml/con_1/acs'
  const SP = 'https://broker.portico.test/saml/con_1/metadata'
  let idp: SamlIdp
  let ours: SigningIdentity
  let stranger: SigningIdentity

  beforeAll(async () => {
    idp = await startSamlIdp({ people })
    closing.push(idp.close)
    ours = await createSigningIdentity('Stand-in SP')
    stranger = await createSigningIdentity('Stranger')
    idp.setServiceProvider({ entityId: SP, acsUrl: ACS, certificate: ours.certificatePem })
  })

  const certificate = (): string =>
    /<ds:X509Certificate>([^<]+)</.exec(idp.metadataXml)?.[1] ?? 'no certificate in the metadata'

  const serviceProvider = (options: { key?: string; issuer?: string; acs?: string } = {}): SAML =>
    new SAML({
      entryPoint: `${idp.url}/sso`,
      issuer: options.issuer ?? SP,
      callbackUrl: options.acs ?? ACS,
      audience: SP,
      idpCert: certificate(),
      idpIssuer: idp.entityId,
      identifierFormat: null,
      disableRequestedAuthnContext: true,
      signatureAlgorithm: 'sha256',
      wantAuthnResponseSigned: false,
      ...(options.key === undefined ? {} : { privateKey: options.key }),
    })

  const begin = (sp: SAML, relayState = 'flow-1'): Promise<string> =>
    sp.getAuthorizeUrlAsync(relayState, undefined, {})

  const signIn = async (url: string, as: Record<string, string>): Promise<Page> => {
    const browser = agent()
    const login = await browser.get(url)
    expect(login.status).toBe(200)
    return browser.submit(login.form(Object.keys(as)[0]), as)
  }

  const responseXml = (page: Page): string =>
    Buffer.from(page.form('SAMLResponse').fields.SAMLResponse ?? '', 'base64').toString('utf8')

  test('a person picked from the list arrives at the ACS with a signed assertion', async () => {
    const sp = serviceProvider({ key: ours.privateKeyPem })
    const page = await signIn(await begin(sp), { person: ada.id })
    const form = page.form('SAMLResponse')
    expect(form).toMatchObject({ action: ACS, method: 'POST', fields: { RelayState: 'flow-1' } })
    const { profile } = await sp.validatePostResponseAsync({ ...form.fields })
    expect(profile).toMatchObject({
      issuer: idp.entityId,
      nameID: ada.email,
      nameIDFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
      attributes: {
        externalId: ada.id,
        email: ada.email,
        displayName: ada.displayName,
        givenName: ada.givenName,
        familyName: ada.familyName,
        groups: [...ada.groups],
      },
    })
  })

  test('an altered assertion does not validate, so it is the signature that vouches for it', async () => {
    const sp = serviceProvider({ key: ours.privateKeyPem })
    const xml = responseXml(await signIn(await begin(sp), { person: ada.id }))
    const forged = Buffer.from(xml.replaceAll(ada.email, bob.email)).toString('base64')
    await expect(sp.validatePostResponseAsync({ SAMLResponse: forged })).rejects.toThrow('Invalid signature')
  })

  test('the response is bound to its request, its reader and five minutes', async () => {
    const url = await begin(serviceProvider({ key: ours.privateKeyPem }))
    const page = await signIn(url, { email: ' Bob@Acme.test ' })
    const xml = responseXml(page)
    const sent = new URL(url).searchParams.get('SAMLRequest') ?? ''
    const id = /ID="([^"]+)"/.exec(inflateRawSync(Buffer.from(sent, 'base64')).toString())?.[1]
    expect(xml).toContain(
      `<saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">${bob.email}<`,
    )
    expect(xml.split(`InResponseTo="${id}"`)).toHaveLength(3)
    expect(xml).toContain(`Destination="${ACS}"`)
    expect(xml).toContain(`Recipient="${ACS}"`)
    expect(xml).toContain(`<saml:Audience>${SP}</saml:Audience>`)
    expect(xml).toContain('http://www.w3.org/2001/04/xmldsig-more#rsa-sha256')
    expect(xml).not.toContain('sha1')
    const [, from = '', until = ''] = /NotBefore="([^"]+)" NotOnOrAfter="([^"]+)"/.exec(xml) ?? []
    expect(Date.parse(until) - Date.parse(from)).toBe(300_000)
  })

  test('NameID can be the fixed ID instead of the address', async () => {
    const other = await startSamlIdp({ people, nameId: 'id' })
    closing.push(other.close)
    other.setServiceProvider({ entityId: SP, acsUrl: ACS })
    const sp = new SAML({
      entryPoint: `${other.url}/sso`,
      issuer: SP,
      callbackUrl: ACS,
      idpCert: certificate(),
    })
    const xml = responseXml(await signIn(await begin(sp), { person: ada.id }))
    expect(xml).toContain(`nameid-format:persistent">${ada.id}<`)
  })

  test('an unsigned request, or one signed by a stranger, is refused; the honest one is not', async () => {
    const unsigned = await agent().get(await begin(serviceProvider()))
    expect(unsigned.status).toBe(400)
    expect(unsigned.text).toContain('must be signed')
    const forged = await agent().get(await begin(serviceProvider({ key: stranger.privateKeyPem })))
    expect(forged.status).toBe(400)
    expect(forged.text).toContain('The signature of the SAMLRequest does not hold.')
    const honest = await agent().get(await begin(serviceProvider({ key: ours.privateKeyPem })))
    expect(honest.status).toBe(200)
  })

  test('a RelayState swapped between the two steps breaks the signature', async () => {
    const browser = agent()
    const login = await browser.get(await begin(serviceProvider({ key: ours.privateKeyPem })))
    const swapped = await browser.submit(login.form('person'), { person: ada.id, RelayState: 'flow-2' })
    expect(swapped.status).toBe(400)
    expect((await browser.submit(login.form('person'), { person: ada.id })).status).toBe(200)
  })

  test('a request of an unknown service provider, or for an unregistered ACS, is refused', async () => {
    const key = ours.privateKeyPem
    const unknown = await agent().get(await begin(serviceProvider({ key, issuer: 'https://evil.test/<b>' })))
    expect(unknown.status).toBe(400)
    expect(unknown.text).toContain('https://evil.test/&lt;b>')
    const elsewhere = await agent().get(await begin(serviceProvider({ key, acs: 'https://evil.test/acs' })))
    expect(elsewhere.status).toBe(400)
    expect(elsewhere.text).toContain('unregistered ACS')
  })

  test('somebody who does not work there is told so, and can pick again', async () => {
    const browser = agent()
    const login = await browser.get(await begin(serviceProvider({ key: ours.privateKeyPem })))
    const again = await browser.submit(login.form('email'), { email: 'eve@evil.test' })
    expect(again.status).toBe(404)
    expect(again.text).toContain('Nobody here is called “eve@evil.test”.')
    expect((await browser.submit(again.form('person'), { person: ada.id })).status).toBe(200)
  })

  test('names and RelayState are text, never markup', async () => {
    const url = await begin(serviceProvider({ key: ours.privateKeyPem }), '"><script>alert(1)</script>')
    const login = await agent().get(url)
    expect(login.text).toContain('Ada &lt;b>Lovelace&lt;/b>')
    expect(login.text).not.toContain('<script>alert')
    expect(login.form('person').fields.RelayState).toBe('"><script>alert(1)</script>')
  })

  test('garbage gets an error page, and the IdP goes on', async () => {
    const deflated = (text: string) => deflateRawSync(Buffer.from(text)).toString('base64')
    const garbage = [
      '',
      '%%%',
      deflated('hello'),
      deflated('<a/>'),
      deflated('<!DOCTYPE a><samlp:AuthnRequest ID="a"></samlp:AuthnRequest>'),
      deflated('<samlp:AuthnRequest ID="a"'),
      deflated('<samlp:AuthnRequest ID="a">'),
      deflated('<samlp:AuthnRequest ID="a" xmlns:a="">&bad;<b></samlp:AuthnRequest>'),
      deflated(`<samlp:AuthnRequest ID="${'a'.repeat(10_000_000)}"/>`),
    ]
    for (const text of garbage) {
      const page = await agent().get(`${idp.url}/sso?${new URLSearchParams({ SAMLRequest: text })}`)
      expect([text.slice(0, 40), page.status]).toEqual([text.slice(0, 40), 400])
    }
    expect((await agent().get(idp.metadataUrl)).text).toBe(idp.metadataXml)
  })
})

describe('the OIDC IdP', () => {
  const REDIRECT = 'https://broker.portico.test/oidc/con_2/callback'
  let idp: OidcIdp
  let configuration: client.Configuration

  beforeAll(async () => {
    idp = await startOidcIdp({ people })
    closing.push(idp.close)
    idp.register({ clientId: 'broker', clientSecret: 'a secret of & odd: signs', redirectUri: REDIRECT })
    configuration = await client.discovery(
      new URL(idp.issuer),
      'broker',
      { id_token_signed_response_alg: 'RS256' },
      client.ClientSecretBasic('a secret of & odd: signs'),
      { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
    )
  })

  const begin = async (extra: Record<string, string> = {}) => {
    const checks = {
      pkceCodeVerifier: client.randomPKCECodeVerifier(),
      expectedState: client.randomState(),
      expectedNonce: client.randomNonce(),
    }
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: REDIRECT,
      scope: 'openid profile email',
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: 'S256',
      ...extra,
    })
    return { url: url.href, checks }
  }

  const insideIdp = (next: URL): boolean => next.origin === idp.issuer

  const finish = async (page: Page, checks: client.AuthorizationCodeGrantChecks) =>
    (
      await client.authorizationCodeGrant(configuration, new URL(String(page.headers.location)), checks)
    ).claims()

  test('a person picked from the list comes back with the claims in the ID token', async () => {
    const browser = agent()
    const { url, checks } = await begin()
    const login = await browser.get(url)
    const page = await browser.submit(login.form('person'), { person: ada.id }, { follow: insideIdp })
    expect(page.headers.location).toMatch(`${REDIRECT}?code=`)
    expect(await finish(page, checks)).toMatchObject({
      iss: idp.issuer,
      sub: ada.id,
      email: ada.email,
      email_verified: true,
      name: ada.displayName,
      given_name: ada.givenName,
      family_name: ada.familyName,
      preferred_username: ada.email,
      groups: [...ada.groups],
    })
  })

  test('the same browser is asked again, so that it can be somebody else', async () => {
    const browser = agent()
    for (const person of [ada, bob]) {
      const { url, checks } = await begin()
      const login = await browser.get(url)
      const page = await browser.submit(login.form('email'), { email: person.email }, { follow: insideIdp })
      expect((await finish(page, checks))?.sub).toBe(person.id)
    }
  })

  test('two tabs of one browser finish as two people', async () => {
    const browser = agent()
    const tabs = [await begin(), await begin()]
    const logins = []
    for (const { url } of tabs) logins.push(await browser.get(url))
    for (const [index, person] of [ada, bob].entries()) {
      const login = logins[index]?.form('person') ?? expect.unreachable()
      const page = await browser.submit(login, { person: person.id }, { follow: insideIdp })
      expect((await finish(page, tabs[index]?.checks ?? {}))?.sub).toBe(person.id)
    }
  })

  test('the address of the login hint is filled in', async () => {
    const login = await agent().get((await begin({ login_hint: bob.email })).url)
    expect(login.form('email').fields.email).toBe(bob.email)
  })

  test('somebody who does not work there is told so, and can pick again', async () => {
    const browser = agent()
    const { url } = await begin()
    const login = await browser.get(url)
    const again = await browser.submit(login.form('email'), { email: 'eve@evil.test' })
    expect(again.status).toBe(404)
    const page = await browser.submit(again.form('person'), { person: bob.id }, { follow: insideIdp })
    expect(page.headers.location).toContain('code=')
  })

  test('who cancels comes back with access_denied', async () => {
    const browser = agent()
    const login = await browser.get((await begin()).url)
    const page = await browser.submit(login.form('cancel'), { cancel: 'yes' }, { follow: insideIdp })
    const back = new URL(String(page.headers.location))
    expect(back.searchParams.get('error')).toBe('access_denied')
  })

  test('an interaction belongs to the browser that began it', async () => {
    const login = await agent().get((await begin()).url)
    const thief = await agent().get(login.url)
    expect(thief.status).toBe(400)
    expect(thief.text).toContain('begun in another browser')
  })

  test('an unregistered redirect URI gets an error page and no code', async () => {
    const page = await agent().get((await begin({ redirect_uri: 'https://evil.test/' })).url)
    expect(page).toMatchObject({ status: 400, hops: [{ status: 400 }] })
    expect(page.text).toContain('redirect_uri')
  })

  test('a wrong client secret gets no token', async () => {
    const browser = agent()
    const { url, checks } = await begin()
    const login = await browser.get(url)
    const page = await browser.submit(login.form('person'), { person: ada.id }, { follow: insideIdp })
    const wrong = new client.Configuration(
      configuration.serverMetadata(),
      'broker',
      {},
      client.ClientSecretBasic('guess'),
    )
    client.allowInsecureRequests(wrong)
    await expect(
      client.authorizationCodeGrant(wrong, new URL(String(page.headers.location)), checks),
    ).rejects.toMatchObject({ cause: [{ parameters: { error: 'invalid_client' } }] })
  })
})

describe('what all peers share', () => {
  test('a missing development package is said in a sentence', async () => {
    const absent: string = 'a-package-that-is-not-installed'
    await expect(loadPeer('samlp', () => import(/* @vite-ignore */ absent))).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'demo_peers_missing',
      message: expect.stringContaining('samlp'),
    })
    expect(await loadPeer('samlp', async () => 'module')).toBe('module')
  })

  test('a defect inside a package is not taken for its absence', async () => {
    const broken = loadPeer('samlp', async () => {
      throw new TypeError('broken')
    })
    await expect(broken).rejects.toThrow(TypeError)
  })

  test('a port that is taken is named', async () => {
    const first = await listenLocally()
    closing.push(first.close)
    await expect(startSamlIdp({ people, port: first.port })).rejects.toMatchObject({ code: 'port_in_use' })
  })
})
