import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BASE_URL, CONNECTION_ID } from '../../fixtures/saml-responses.ts'
import type { SamlConfig } from '../../src/saml/config.ts'
import { addresses, draft, spMetadata } from '../../src/saml/service-provider.ts'
import { announceSigningKey } from '../../src/saml/sp-keys.ts'
import { attributeOf, childElements, readXml } from '../../src/saml/xml-tree.ts'

const XMLLINT = 'xmllint'
const SCHEMA = '/usr/share/xml/opensaml/saml-schema-metadata-2.0.xsd'
/** What the schema names on the web, and where Debian has it; other catalogues know these under other names. */
const SCHEMAS = {
  'http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd': 'xmldsig-core-schema.xsd',
  'http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/xenc-schema.xsd': 'xenc-schema.xsd',
  'http://www.w3.org/2001/xml.xsd': 'xml.xsd',
}
const catalogue = `<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">${Object.entries(SCHEMAS)
  .map(([name, file]) => `<system systemId="${name}" uri="file:///usr/share/xml/xmltooling/${file}"/>`)
  .join('')}</catalog>`

const folder = mkdtempSync(join(tmpdir(), 'saml-metadata-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let config: SamlConfig
beforeAll(async () => {
  config = (await draft()).config
})

const metadata = (over: Partial<SamlConfig> = {}): string =>
  spMetadata(addresses(BASE_URL, CONNECTION_ID), { ...config, ...over })

const limits = {
  characters: 50_000,
  elements: 99,
  depth: 9,
  attributes: 9,
  allAttributes: 99,
  names: 99,
  comments: false,
}

const parts = (xml: string): Element[] => {
  const root = readXml(xml, limits, (fault) => new Error(fault.what))
  return childElements(childElements(root)[0] as Element)
}

const keysIn = (xml: string): { use: string | undefined; certificate: string }[] =>
  parts(xml)
    .filter((part) => part.localName === 'KeyDescriptor')
    .map((key) => ({
      use: attributeOf(key, 'use'),
      certificate: new X509Certificate(
        Buffer.from(key.textContent?.replace(/\s/g, '') ?? '', 'base64'),
      ).toString(),
    }))

const plain = (pem: string | null | undefined): string => new X509Certificate(pem ?? '').toString()

const everything = async (): Promise<Partial<SamlConfig>> => ({
  ...(await announceSigningKey()).config,
  nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  offerEncryption: true,
})

describe('our metadata', () => {
  it('names the signing certificate of now and of next, and the one to encrypt to when that is offered', async () => {
    const over = await everything()
    expect(keysIn(metadata())).toEqual([{ use: 'signing', certificate: plain(config.spCertificate) }])
    expect(keysIn(metadata(over))).toEqual([
      { use: 'signing', certificate: plain(config.spCertificate) },
      { use: 'signing', certificate: plain(over.nextSpCertificate) },
      { use: 'encryption', certificate: plain(config.encryptionCertificates[0]) },
    ])
  })

  it('offers nothing but AES-GCM under RSA-OAEP', async () => {
    const methods = [
      ...metadata({ ...(await everything()), allowCbc: true }).matchAll(
        /EncryptionMethod Algorithm="([^"]+)"/g,
      ),
    ]
    expect(methods.map(([, algorithm]) => algorithm)).toEqual([
      'http://www.w3.org/2009/xmlenc11#aes256-gcm',
      'http://www.w3.org/2009/xmlenc11#aes192-gcm',
      'http://www.w3.org/2009/xmlenc11#aes128-gcm',
      'http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p',
    ])
  })

  it('offers no encryption for a connection that has no key for it', () => {
    expect(metadata({ encryptionCertificates: [], offerEncryption: true })).toBe(
      metadata({ encryptionCertificates: [] }),
    )
  })

  it('is valid against the OASIS schema, where that is installed', async () => {
    if (spawnSync(XMLLINT, ['--version']).status !== 0 || !existsSync(SCHEMA)) {
      process.stderr.write(
        'NOTICE: our metadata was not checked against the OASIS schema (apt-get install libxml2-utils opensaml-schemas xmltooling-schemas).\n',
      )
      expect(() =>
        execFileSync(XMLLINT, ['--noout', '--schema', SCHEMA, SCHEMA], { stdio: 'ignore' }),
      ).toThrow()
      return
    }
    writeFileSync(join(folder, 'catalog.xml'), catalogue)
    const validate = (xml: string) => {
      const file = join(folder, 'metadata.xml')
      writeFileSync(file, xml)
      const { status, stderr } = spawnSync(XMLLINT, ['--noout', '--nonet', '--schema', SCHEMA, file], {
        env: { ...process.env, XML_CATALOG_FILES: join(folder, 'catalog.xml') },
      })
      return status === 0 ? 'valid' : stderr.toString()
    }
    expect(validate(metadata())).toBe('valid')
    expect(validate(metadata(await everything()))).toBe('valid')
    expect(validate(metadata().replace('index="0"', 'index="x"'))).toContain('index')
  })
})
