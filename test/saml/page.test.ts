import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checks } from '../../src/saml/checks.ts'
import { SamlConfig } from '../../src/saml/config.ts'
import { PRESET_NAMES } from '../../src/saml/presets.ts'
import { fixtures } from './fixture-connection.ts'

const page = readFileSync(new URL('../../docs/saml.md', import.meta.url), 'utf8')

describe('docs/saml.md', () => {
  it('lists every check with its reason, in the order in which they run', () => {
    const rows = [...page.matchAll(/^\| \d+ \| (.+) \| `(\w+)` \|$/gm)].map(([, name, reason]) => [
      name,
      reason,
    ])
    expect(rows).toEqual(checks.map(([name, reason]) => [name, reason]))
  })

  it('names every reason that a fixture is refused for, every setting and every preset', () => {
    const reasons = new Set(fixtures('bad').map(({ params }) => params.reason ?? ''))
    const ours = ['spCertificate', 'nextSpCertificate', 'encryptionCertificates']
    const settings = Object.keys(SamlConfig.shape).filter((name) => !ours.includes(name))
    for (const word of [...reasons, ...settings, ...PRESET_NAMES]) expect(page).toContain(`\`${word}\``)
  })
})

describe('the catalogue', () => {
  it('cites where each honest shape comes from', () => {
    for (const { params } of fixtures('good')) expect(params.source?.[0]).toMatch(/^https:\/\//)
  })

  it('has a fixture for every check that a document can fail', () => {
    const reasons = new Set(fixtures('bad').map(({ params }) => params.reason))
    // These two depend on what was asked for, not on the document: mapping.test.ts and saml.test.ts.
    const asked = ['authentication_stale', 'context_mismatch']
    for (const [, reason] of checks) if (!asked.includes(reason)) expect(reasons).toContain(reason)
  })
})
