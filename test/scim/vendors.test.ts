import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { scimServer } from './support/server.ts'

type Step = {
  request: { method: string; path: string; body?: unknown }
  expect: { status: number; contentType?: string; body?: Record<string, unknown>; absent?: string[] }
}
type Fixture = { about: string; profile: string; steps: Step[] }

const root = join(import.meta.dirname, '../../fixtures/scim')
const vendors = readdirSync(root)

/** Each file is one sequence of requests; `{id}` stands for the user that was created last. */
describe.each(vendors)('SCIM as %s speaks it', (vendor) => {
  const server = scimServer()
  const files = readdirSync(join(root, vendor)).filter((name) => name.endsWith('.json'))

  test.each(files.map((file) => file.slice(0, -5)))('%s', async (name) => {
    const fixture: Fixture = JSON.parse(readFileSync(join(root, vendor, `${name}.json`), 'utf8'))
    const client = await server.directory(fixture.profile)
    let id = ''
    const filled = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll('{id}', id))
    for (const step of fixture.steps) {
      const { method, path, body } = filled(step.request)
      const wanted = filled(step.expect)
      const answer = await client.send(path, { method, ...(body === undefined ? {} : { body }) })
      expect({
        path,
        status: answer.status,
        text: wanted.status === answer.status ? '' : answer.text,
      }).toEqual({
        path,
        status: wanted.status,
        text: '',
      })
      if (wanted.contentType) expect(answer.headers.get('content-type')).toBe(wanted.contentType)
      if (wanted.body) expect(answer.json).toMatchObject(wanted.body)
      for (const absent of wanted.absent ?? []) expect(answer.json).not.toHaveProperty(absent)
      if (answer.status === 201) id = answer.json.id
    }
  })
})
