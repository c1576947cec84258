import { beforeAll, describe, expect, it } from 'vitest'
import { attribute, PERSON, type Shape, shape, signed, toXml } from '../../fixtures/saml-responses.ts'
import { createSigner, type Signer } from '../../fixtures/saml-signer.ts'
import { PRESET_NAMES, PRESETS } from '../../src/saml/presets.ts'
import { fixtureParams, type OpenOptions, openFixture, post } from './fixture-connection.ts'

let signer: Signer
beforeAll(async () => {
  signer = await createSigner()
})

const signIn = (over: Partial<Shape>, config: Record<string, unknown> = {}, options: OpenOptions = {}) =>
  post(signed(toXml(shape(over)), 'assertion', signer), fixtureParams, {
    pems: [signer.certificate],
    config,
    ...options,
  })

const TRANSIENT =
  '<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">_a1b2c3</saml:NameID>'

describe('the mapping of attributes', () => {
  it.each(PRESET_NAMES)('reads every fact under the first name that %s has for it', async (preset) => {
    const names = PRESETS[preset]
    const attributes = Object.entries(names)
      .map(([fact, [name]]) => attribute(name ?? '', [`the ${fact}`]))
      .join('')
    expect(await signIn({ attributes }, { preset })).toMatchObject({
      email: 'the email',
      displayName: 'the displayName',
      givenName: 'the givenName',
      familyName: 'the familyName',
      groups: ['the groups'],
      linkValues: { externalId: 'the externalId' },
    })
  })

  it('takes the names of the connection over those of its preset, fact by fact', async () => {
    const attributes = attribute('firstName', ['Alice']) + attribute('mail-home', ['a@home.example']) + PERSON
    const config = { preset: 'okta', attributes: { email: ['mail-home'] } }
    expect(await signIn({ attributes }, config)).toMatchObject({
      email: 'a@home.example',
      givenName: 'Alice',
    })
    expect(await signIn({ attributes }, { preset: 'okta' })).toMatchObject({ email: 'alice@acme.example' })
  })

  it('keeps lists whole, of one attribute or of several with one name, without repetition', async () => {
    const attributes =
      attribute('groups', ['a', 'b', 'a', '']) + attribute('groups', ['c']) + attribute('dept', ['x', 'y'])
    const config = { attributes: { extra: { department: ['division', 'dept'], floor: ['level'] } } }
    const identity = await signIn({ attributes }, config)
    expect(identity.groups).toEqual(['a', 'b', 'c'])
    expect(identity.attributes.department).toEqual(['x', 'y'])
    expect(identity.attributes).not.toHaveProperty('floor')
    expect(Object.getPrototypeOf(identity.attributes)).toBeNull()
  })

  it('reads no groups as none, and a link to too many as unknown', async () => {
    const link = 'http://schemas.microsoft.com/claims/groups.link'
    expect((await signIn({ attributes: PERSON })).groups).toEqual([])
    const attributes = attribute(link, ['https://graph.example/']) + attribute('groups', ['a'])
    expect((await signIn({ attributes })).groups).toBe('overage')
  })

  it('does not admit a field that is a trap to others', async () => {
    await expect(async () => signIn({}, { attributes: { extra: { __proto__x: [] } } })).rejects.toThrow()
    await expect(signIn({}, { attributes: { extra: { protoX: [] } } })).resolves.toBeDefined()
  })
})

describe('a subject from an attribute', () => {
  const config = { attributes: { subject: ['employeeNumber'] } }

  it('names the person instead of a NameID of the moment', async () => {
    const attributes = attribute('employeeNumber', ['4711']) + PERSON
    const identity = await signIn({ nameId: TRANSIENT, attributes }, config)
    expect(identity).toMatchObject({ subject: '4711', linkValues: { userName: '4711' } })
    await expect(signIn({ nameId: TRANSIENT, attributes })).rejects.toMatchObject({
      code: 'subject_malformed',
    })
  })

  it.each([
    ['absent', PERSON, 'subject_missing'],
    ['empty', attribute('employeeNumber', ['']), 'subject_missing'],
    ['two', attribute('employeeNumber', ['4711', '4712']), 'attribute_ambiguous'],
    ['invisible in part', attribute('employeeNumber', ['47&#x200B;11']), 'subject_malformed'],
  ])('is refused when it is %s', async (_, attributes, code) => {
    await expect(signIn({ attributes }, config)).rejects.toMatchObject({ code })
  })
})

describe('the authentication context', () => {
  const classes = ['urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport']
  const stronger = ['https://refeds.org/profile/mfa']

  it.each([
    ['asked for and given', { classes }],
    [
      'another than was asked for, and among those also accepted',
      { classes: stronger, alsoAccepted: classes },
    ],
    ['another than was asked for, where that was a wish', { classes: stronger, enforced: false }],
  ])('is accepted when it is %s', async (_, authnContext) => {
    await expect(signIn({}, { authnContext })).resolves.toMatchObject({ acr: classes[0] })
  })

  it('is refused when it is another than was demanded', async () => {
    await expect(signIn({}, { authnContext: { classes: stronger } })).rejects.toMatchObject({
      code: 'context_mismatch',
      detail: { expected: stronger, received: classes[0] },
    })
  })
})

describe('a new authentication that was asked for', () => {
  const at = (authenticatedAfter: string) =>
    openFixture(fixtureParams, { pems: [signer.certificate] }).finish({
      method: 'POST',
      query: {},
      form: { SAMLResponse: Buffer.from(signed(toXml(shape()), 'assertion', signer)).toString('base64') },
      now: new Date(fixtureParams.now),
      expects: { requestId: fixtureParams.requestId, authenticatedAfter },
    })

  it('is refused when it is older than the request, give or take the clocks', async () => {
    await expect(at('2026-01-15T08:59:30Z')).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(at('2026-01-15T08:59:31Z')).rejects.toMatchObject({ code: 'authentication_stale' })
  })
})

describe('without a second opinion', () => {
  it('the strict reader decides alone', async () => {
    await expect(signIn({}, {}, { ask: null })).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(signIn({ conditions: '' }, {}, { ask: null })).rejects.toMatchObject({
      code: 'conditions_refused',
    })
  })
})

describe('an expired certificate', () => {
  it('is refused with its own reason unless the connection says otherwise; one yet to begin always is', async () => {
    const expired = await createSigner({
      notBefore: '2020-01-01T00:00:00Z',
      notAfter: '2025-06-01T00:00:00Z',
    })
    const future = await createSigner({ notBefore: '2026-06-01T00:00:00Z' })
    const by = (idp: Signer, allowExpiredCertificates: boolean) =>
      post(signed(toXml(shape()), 'assertion', idp), fixtureParams, {
        pems: [idp.certificate],
        config: { allowExpiredCertificates },
      })
    await expect(by(expired, false)).rejects.toMatchObject({ code: 'certificate_expired' })
    await expect(by(expired, true)).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(by(future, true)).rejects.toMatchObject({ code: 'certificate_expired' })
  })
})
