import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { destinationOf } from '../../src/saml/config.ts'
import { importMetadata } from '../../src/saml/metadata-in.ts'
import { certificatePem, samlConnection } from './fixture-connection.ts'

const now = new Date('2026-01-15T09:00:00Z')
const MD = 'urn:oasis:names:tc:SAML:2.0:metadata'
const bare = (name: string): string => certificatePem(name).replace(/-----[A-Z ]+-----|\s/g, '')

const key = (certificate: string, use = ' use="signing"'): string =>
  `<md:KeyDescriptor${use}><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>` +
  `<ds:X509Certificate>\n${certificate.replace(/.{64}/g, '$&\n')}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`

const sso = (binding = 'HTTP-Redirect', location = 'https://idp.example/sso?x=1&amp;y=2'): string =>
  `<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:${binding}" Location="${location}"/>`

const entity = ({
  attributes = ` xmlns:md="${MD}" entityID="https://idp.example/entity"`,
  keys = key(bare('idp')),
  services = sso('HTTP-POST', 'https://idp.example/post') + sso(),
  role = 'IDPSSODescriptor',
} = {}): string =>
  `<md:EntityDescriptor${attributes}><md:${role} protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
  `${keys}${services}</md:${role}></md:EntityDescriptor>`

const together = (...entities: string[]): string =>
  `<md:EntitiesDescriptor xmlns:md="${MD}">${entities.join('')}</md:EntitiesDescriptor>`

const refusalOf = (xml: string): { code: string; kind: string; message: string } => {
  try {
    importMetadata(xml, now)
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, kind: error.kind, message: error.message }
    throw error
  }
  throw new Error('it was imported')
}

describe('metadata of an IdP', () => {
  const imported = {
    idpEntityId: 'https://idp.example/entity',
    ssoUrl: 'https://idp.example/sso?x=1&y=2',
    ssoPostUrl: 'https://idp.example/post',
    certificates: [certificatePem('idp')],
  }

  it.each([
    ['plain', entity()],
    [
      'after a byte order mark, a declaration and a comment',
      `\uFEFF<?xml version="1.0" encoding="utf-8"?>\r\n<!-- made today -->${entity()}`,
    ],
    ['with a key for any use', entity({ keys: key(bare('idp'), '') })],
    [
      'with an encryption key that is not ours to judge',
      entity({ keys: key('AAAA', ' use="encryption"') + key(bare('idp')) }),
    ],
    ['with the same certificate twice', entity({ keys: key(bare('idp')).repeat(2) })],
    ['with an expired certificate left behind', entity({ keys: key(bare('expired')) + key(bare('idp')) })],
    ['among service providers', together(entity({ role: 'SPSSODescriptor' }), entity())],
    ['within nested groups', together(together(entity()))],
  ])('is read %s', (_, xml) => {
    expect(importMetadata(xml, now)).toEqual(imported)
  })

  it('gives all signing certificates, for a rollover', () => {
    const xml = entity({ keys: key(bare('idp')) + key(bare('attacker')) })
    expect(importMetadata(xml, now).certificates).toEqual([certificatePem('idp'), certificatePem('attacker')])
  })

  it('may have one of the two bindings only, and then requests take that one', () => {
    const config = importMetadata(entity({ services: sso('HTTP-POST') }), now)
    expect(config).toMatchObject({ ssoUrl: null, ssoPostUrl: 'https://idp.example/sso?x=1&y=2' })
    expect(destinationOf({ ...config, requestBinding: 'redirect' })).toEqual({
      binding: 'post',
      url: config.ssoPostUrl,
    })
  })

  it('makes a draft complete', async () => {
    const { config, secrets } = await samlConnection.draft()
    expect(samlConnection.missing(config, secrets)).toHaveLength(3)
    const complete = samlConnection.config.parse({ ...config, ...importMetadata(entity(), now) })
    expect(samlConnection.missing(complete, secrets)).toEqual([])
  })

  it.each([
    ['malformed', '', 'well-formed'],
    ['malformed', '<md:EntityDescriptor', 'well-formed'],
    ['malformed', `<!DOCTYPE x>${entity()}`, 'document type declaration'],
    ['malformed', `<?xml-stylesheet href="x"?>${entity()}`, 'processing instruction'],
    ['too_large', `${entity()}${' '.repeat(1024 * 1024)}`, 'EntityDescriptor'],
    ['root_unknown', '<html><body/></html>', 'EntityDescriptor'],
    ['root_unknown', entity().replaceAll('2.0:metadata', '1.1:metadata'), 'EntityDescriptor'],
    ['idp_missing', entity({ role: 'SPSSODescriptor' }), 'IDPSSODescriptor'],
    ['idp_missing', entity().replace('SAML:2.0:protocol', 'SAML:1.1:protocol'), 'SAML 2.0'],
    ['idp_ambiguous', together(entity(), entity()), 'one EntityDescriptor'],
    [
      'expired',
      entity({ attributes: ` xmlns:md="${MD}" entityID="x" validUntil="2026-01-15T09:00:00Z"` }),
      'validUntil',
    ],
    ['entity_id_missing', entity({ attributes: ` xmlns:md="${MD}" entityID=" "` }), 'entityID'],
    ['sso_missing', entity({ services: sso('SOAP') }), 'HTTP-Redirect'],
    ['sso_location_invalid', entity({ services: sso('HTTP-Redirect', 'javascript:alert(1)') }), 'Location'],
    [
      'sso_location_invalid',
      entity({ services: sso('HTTP-Redirect', 'https://a:b@idp.example/') }),
      'Location',
    ],
    ['certificate_missing', entity({ keys: '' }), 'KeyDescriptor'],
    ['certificate_missing', entity({ keys: key(bare('idp'), ' use="encryption"') }), 'KeyDescriptor'],
    ['certificate_unreadable', entity({ keys: key('AAAA') }), 'X509Certificate'],
    ['certificate_unreadable', entity({ keys: key(`${bare('idp')}!`) }), 'X509Certificate'],
    ['certificate_weak', entity({ keys: key(bare('weak')) }), '1024 bits'],
    ['certificate_expired', entity({ keys: key(bare('expired')) }), 'expired'],
  ])('is refused as metadata_%s with a sentence that names what was expected (%#)', (code, xml, words) => {
    const refused = refusalOf(xml)
    expect(refused).toMatchObject({ kind: 'invalid', code: `metadata_${code}` })
    expect(refused.message).toContain(words)
  })
})
