import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Answered, scimServer } from './support/server.ts'

type Step = {
  request: { method: string; path: string; body?: unknown }
  expect: { status: number; contentType?: string; body?: Record<string, unknown>; absent?: string[] }
}
type Fixture = { about: string; profile: string; steps: Step[] }

const root = join(import.meta.dirname, '../../fixtures/scim')
const vendors = readdirSync(root)

const check = (answer: Answered, wanted: Step['expect']): void => {
  expect([answer.status, answer.text]).toEqual([wanted.status, answer.text])
  if (wanted.contentType) expect(answer.headers.get('content-type')).toBe(wanted.contentType)
  if (wanted.body) expect(answer.json).toMatchObject(wanted.body)
  for (const absent of wanted.absent ?? []) expect(answer.json).not.toHaveProperty(absent)
}

/** Each file is one sequence of requests; `{id}` stands for the user that was created last. */
describe.each(vendors)('SCIM as %s speaks it', (vendor) => {
  const server = scimServer()
  const files = readdirSync(join(root, vendor)).filter((name) => name.endsWith('.json'))

  test.each(files.map((file) => file.slice(0, -5)))('%s', async (name) => {
    const fixture: Fixture = JSON.parse(readFileSync(join(root, vendor, `${name}.json`), 'utf8'))
    const client = await server.directory(fixture.profile)
    let id = ''
    for (const step of fixture.steps) {
      const { request, expect: wanted }: Step = JSON.parse(JSON.stringify(step).replaceAll('{id}', id))
      const { path, ...sent } = request
      const answer = await client.send(path, sent)
      check(answer, wanted)
      if (answer.status === 201) id = answer.json.id
    }
  })
})
