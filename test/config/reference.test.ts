import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { configurationReference } from '../../src/config/reference.ts'
import { variables } from '../../src/config/schema.ts'

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

describe('docs/configuration.md', () => {
  test('is what the schema says; `npm run docs` writes it', () => {
    expect(page).toBe(configurationReference())
  })

  test.each(Object.keys(variables))('documents %s in a row of four cells', (name) => {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\``))
    expect(row?.split(' | ')).toHaveLength(4)
  })

  test.each(Object.entries(variables).filter(([, variable]) => 'secret' in variable))(
    'says of %s that it may come from a file',
    (name) => {
      expect(page).toContain(`
| \`${name}\` or \`${name}_FILE\` `)
    },
  )

  test.each(Object.entries(variables).filter(([name]) => name !== 'PORTICO_MASTER_KEY'))(
    'has an example of %s that is accepted',
    (_name, { schema, example }) => {
      expect(schema.safeParse(example).success).toBe(true)
    },
  )

  test.each(
    Object.entries(variables).filter(([, variable]) => 'default' in variable && /^`/.test(variable.default)),
  )('gives the default of %s as it is', (_name, variable) => {
    const written = 'default' in variable ? variable.default.replaceAll('`', '') : ''
    expect(variable.schema.parse(written)).toEqual(variable.schema.parse(undefined))
  })
})
