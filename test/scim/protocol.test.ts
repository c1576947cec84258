import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/db/pool.ts'
import {
  type Answered,
  type Client,
  ENTERPRISE,
  ERROR,
  newUser,
  PATCH_OP,
  patchOf,
  scimServer,
  USER,
} from './support/server.ts'

const isScimAnswer = (answer: Answered): boolean => {
  if (answer.status === 204 || answer.status === 304) return answer.text === ''
  const named =
    answer.headers.get('content-type') === 'application/scim+json' && Array.isArray(answer.json?.schemas)
  const failed = answer.status >= 400
  return (
    named && (!failed || (answer.json.schemas[0] === ERROR && answer.json.status === String(answer.status)))
  )
}

describe('the SCIM protocol', () => {
  const server = scimServer()
  const created = async (client: Client, userName: string): Promise<string> =>
    (await client.send('/Users', { method: 'POST', body: newUser(userName) })).json.id

  test('says what is offered and claims no more', async () => {
    const client = await server.directory('generic')
    const config = (await client.send('/ServiceProviderConfig')).json
    expect(config).toMatchObject({
      patch: { supported: true },
      bulk: { supported: false },
      filter: { supported: true, maxResults: 200 },
      changePassword: { supported: false },
      sort: { supported: false },
      etag: { supported: true },
      authenticationSchemes: [{ type: 'oauthbearertoken' }],
    })
    const types = (await client.send('/ResourceTypes?count=0')).json
    expect(types).toMatchObject({ totalResults: 1, Resources: [{ id: 'User', schema: USER }] })
    expect(types.Resources[0].schemaExtensions).toEqual([{ schema: ENTERPRISE, required: false }])
    const schemas = (await client.send('/Schemas')).json
    expect(schemas.Resources.map(({ id }: { id: string }) => id)).toEqual([USER, ENTERPRISE])
    for (const { id, attributes } of schemas.Resources) {
      const one = await client.send(`/Schemas/${id}`)
      expect([one.status, one.json.attributes]).toEqual([200, attributes])
    }
    const [userName] = schemas.Resources[0].attributes
    expect(userName).toEqual({
      name: 'userName',
      type: 'string',
      multiValued: false,
      description: expect.any(String),
      required: true,
      caseExact: false,
      mutability: 'readWrite',
      returned: 'default',
      uniqueness: 'server',
    })
    expect((await client.send('/ResourceTypes/Group')).status).toBe(404)
    expect((await client.send('/Schemas?filter=id%20pr')).status).toBe(403)
  })

  test('tells how to authenticate without a token, but checks one that is sent', async () => {
    const client = await server.directory('generic')
    expect((await client.send('/ServiceProviderConfig', { token: null })).status).toBe(200)
    expect((await client.send('/ServiceProviderConfig', { token: 'wrong' })).status).toBe(401)
    expect((await client.send('/Schemas', { token: null })).status).toBe(401)
    expect((await client.send('/ServiceProviderConfig', { token: null, method: 'DELETE' })).status).toBe(401)
  })

  test('answers what is not offered, not there or not a method in SCIM form', async () => {
    const client = await server.directory('generic')
    const id = await created(client, 'ada')
    for (const [method, path, status] of [
      ['GET', '/Groups', 501],
      ['PATCH', '/Groups/x', 501],
      ['POST', '/Bulk', 501],
      ['GET', '/Me', 501],
      ['POST', '/Users/.search', 501],
      ['GET', '/nonsense', 404],
      ['GET', '', 404],
      ['GET', '/Users/x/y', 404],
      ['GET', '/Users/%zz', 404],
      ['DELETE', '/Users', 405],
      ['POST', `/Users/${id}`, 405],
      ['PUT', '/Schemas', 405],
    ] as const) {
      const answer = await client.send(path, { method })
      expect([method, path, answer.status, isScimAnswer(answer)]).toEqual([method, path, status, true])
      if (status === 405) expect(answer.headers.get('allow')).toMatch(/GET/)
    }
    const head = await client.send(`/Users/${id}`, { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
  })

  test('takes SCIM and plain JSON up to 256 KB, and refuses other types, sizes and broken bodies', async () => {
    const client = await server.directory('generic')
    const post = (body: unknown, type = 'application/scim+json') =>
      client.send('/Users', { method: 'POST', body, headers: { 'content-type': type } })
    expect((await post(newUser('a'), 'application/json; charset=utf-8')).status).toBe(201)
    expect((await post(newUser('b', { title: 'x'.repeat(200_000) }))).status).toBe(201)
    const deep = `{"schemas":["${USER}"],"userName":"z","title":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
    for (const [status, answer] of [
      [413, await post(newUser('c', { title: 'x'.repeat(262_144) }))],
      [415, await post(newUser('c'), 'text/plain')],
      [415, await post('userName=c', 'application/x-www-form-urlencoded')],
      [400, await post('{"userName":')],
      [400, await post('[]')],
      [400, await post('"c"')],
      [400, await post('')],
      [400, await post(deep)],
      [400, await post({ userName: 'c' })],
      [400, await post({ schemas: [ENTERPRISE], userName: 'c' })],
      [400, await client.send('/Users', { method: 'POST' })],
      [
        413,
        await client.send('/Users/usr_x', {
          method: 'PATCH',
          body: patchOf(...Array(1_001).fill({ op: 'remove', path: 'title' })),
        }),
      ],
    ] as const) {
      expect([status, isScimAnswer(answer), answer.text]).toEqual([answer.status, true, answer.text])
    }
    expect((await client.send('/Users')).json.totalResults).toBe(2)
    const lenient = await server.directory('okta')
    expect((await lenient.send('/Users', { method: 'POST', body: { userName: 'c' } })).status).toBe(201)
  })

  test('refuses keys that could reach a prototype, anywhere', async () => {
    const client = await server.directory('generic')
    const id = await created(client, 'ada')
    for (const body of [
      `{"schemas":["${USER}"],"userName":"m","__proto__":{"polluted":true}}`,
      `{"schemas":["${USER}"],"userName":"m","name":{"constructor":{"prototype":{"polluted":true}}}}`,
      `{"schemas":["${USER}"],"userName":"m","emails":[{"prototype":1}]}`,
    ]) {
      expect((await client.send('/Users', { method: 'POST', body })).status).toBe(400)
    }
    for (const path of [
      '__proto__.polluted',
      'constructor.prototype',
      'name.__proto__',
      'emails[__proto__ eq "a"].value',
    ]) {
      const body = patchOf({ op: 'add', path, value: true })
      expect([path, (await client.send(`/Users/${id}`, { method: 'PATCH', body })).status]).toEqual([
        path,
        400,
      ])
    }
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('answers in the media type that is asked for', async () => {
    const client = await server.directory('generic')
    const typeFor = async (accept: string) =>
      (await client.send('/Users', { headers: { accept } })).headers.get('content-type')
    expect(await typeFor('*/*')).toBe('application/scim+json')
    expect(await typeFor('application/json')).toBe('application/json')
    expect(await typeFor('text/html')).toBe('application/scim+json')
  })

  test('is 503 with Retry-After while the database is away, and well again with it', async () => {
    const client = await server.directory('generic')
    const away = openDatabase({ url: 'postgres://portico_app:x@127.0.0.1:1/portico', size: 1 })
    server.instead.db = away
    const answer = await client.send('/Users')
    server.instead.db = null
    await away.destroy()
    expect([answer.status, isScimAnswer(answer)]).toEqual([503, true])
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await client.send('/Users')).status).toBe(200)
  })

  test('any JSON at any endpoint gives a SCIM answer, never a 500', async () => {
    const clients = [await server.directory('generic'), await server.directory('entra')]
    const ids = await Promise.all(clients.map((client, n) => created(client, `ada${n}`)))
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('True', '\u0000', '\ud800', 'é', 'x'.repeat(600), '{"value":1}'),
    )
    const leaf = fc.oneof(fc.jsonValue({ maxDepth: 3 }), text)
    const names = [
      'userName',
      'externalId',
      'active',
      'name',
      'emails',
      'roles',
      'id',
      'meta',
      'groups',
      'password',
      'x509Certificates',
      ENTERPRISE,
      'manager',
    ]
    const resource = fc.dictionary(fc.oneof(fc.constantFrom(...names), text), leaf, { maxKeys: 8 })
    const path = fc.oneof(
      fc.constantFrom(
        ...names,
        'emails[type eq "work"].value',
        'emails.value',
        'name.givenName',
        `${ENTERPRISE}:manager`,
      ),
      text,
    )
    const operation = fc.record(
      { op: fc.constantFrom('add', 'replace', 'remove', 'Replace'), path, value: fc.oneof(leaf, resource) },
      { requiredKeys: ['op'] },
    )
    const user = fc
      .tuple(fc.string({ minLength: 1, maxLength: 8 }), resource)
      .map(([name, given]) => ({ ...given, userName: `u${name}`, schemas: [USER] }))
    const simple = fc.record({
      op: fc.constantFrom('add', 'Replace', 'remove'),
      path: fc.constantFrom(
        'title',
        'displayName',
        'emails',
        'emails.value',
        `${ENTERPRISE}:manager`,
        'externalId',
      ),
      value: text,
    })
    const patch = fc.record({
      schemas: fc.constant([PATCH_OP]),
      Operations: fc.oneof(
        leaf,
        fc.array(simple, { minLength: 1, maxLength: 3 }),
        fc.array(operation, { maxLength: 5 }),
      ),
    })
    const query = fc.dictionary(
      fc.constantFrom('filter', 'startIndex', 'count', 'attributes', 'excludedAttributes', 'sortBy'),
      fc.oneof(
        text,
        text.map((value) => `userName eq ${JSON.stringify(value)}`),
        text.map((value) => `externalId eq ${JSON.stringify(value)}`),
        fc.integer().map(String),
      ),
      { maxKeys: 3 },
    )
    const to = (method: string, place: string, body: fc.Arbitrary<unknown>) =>
      fc.record({ method: fc.constant(method), place: fc.constant(place), body })
    const anywhere = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE'),
      place: fc.constantFrom('/Users', '/Groups', '/Schemas', '/ResourceTypes', '/Bulk', '/x'),
      body: fc.oneof(leaf, resource, user, patch),
    })
    const request = fc.oneof(
      { arbitrary: to('PATCH', '/Users/{id}', patch), weight: 5 },
      { arbitrary: to('PUT', '/Users/{id}', user), weight: 3 },
      { arbitrary: to('POST', '/Users', user), weight: 3 },
      { arbitrary: to('GET', '/Users', fc.constant(null)), weight: 3 },
      { arbitrary: anywhere, weight: 2 },
    )
    const statuses = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.nat(1), request, query, async (which, { method, place, body }, query) => {
        const path = `${place.replace('{id}', ids[which] ?? '')}?${new URLSearchParams(query)}`
        const sent = method === 'GET' ? {} : { body: JSON.stringify(body) }
        const answer = await (clients[which] as Client).send(path, { method, ...sent })
        statuses.add(`${method} ${answer.status}`)
        expect([answer.status < 500 || answer.status === 501, answer.text]).toEqual([true, answer.text])
        expect([isScimAnswer(answer), answer.text]).toEqual([true, answer.text])
      }),
      { numRuns: 600 },
    )
    // Random JSON that was only ever refused would show nothing about writing it.
    expect([...statuses]).toEqual(
      expect.arrayContaining(['POST 201', 'PUT 200', 'PATCH 200', 'PATCH 204', 'GET 200']),
    )
    expect(server.log.join('')).not.toContain('"level":50')
  })
})
