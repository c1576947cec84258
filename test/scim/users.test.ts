import { describe, expect, test } from 'vitest'
import { newUuid, toId } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import { type Client, ENTERPRISE, ERROR, newUser, patchOf, scimServer, USER } from './support/server.ts'

describe('SCIM users', () => {
  const server = scimServer()

  const made = async (client: Client, userName: string, more: Record<string, unknown> = {}) => {
    const answer = await client.send('/Users', { method: 'POST', body: newUser(userName, more) })
    expect(answer.status).toBe(201)
    return answer.json
  }
  const find = (client: Client, filter: string, more = '') =>
    client.send(`/Users?filter=${encodeURIComponent(filter)}${more}`)

  test('are created with an ID, a location, a version and nothing secret', async () => {
    const client = await server.directory('generic')
    const answer = await client.send('/Users', {
      method: 'POST',
      body: newUser('Ada@Corp.example', {
        id: 'mine',
        password: 'hunter2',
        [ENTERPRISE]: { department: 'R' },
      }),
    })
    const location = `https://login.example.com${client.base}/Users/${answer.json.id}`
    expect(answer.status).toBe(201)
    expect(answer.json.id).toMatch(/^usr_[0-9a-z]{26}$/)
    expect(answer.json).toMatchObject({
      schemas: [USER, ENTERPRISE],
      userName: 'Ada@Corp.example',
      active: true,
      [ENTERPRISE]: { department: 'R' },
      meta: { resourceType: 'User', location, version: 'W/"1"' },
    })
    expect(answer.json.meta.created).toBe(answer.json.meta.lastModified)
    expect(answer.headers.get('location')).toBe(location)
    expect(answer.headers.get('etag')).toBe('W/"1"')
    expect(answer.text).not.toContain('hunter2')
    const again = await client.send(`/Users/${answer.json.id}`)
    expect(again.json).toEqual(answer.json)
    expect(again.headers.get('content-location')).toBe(location)
    const stored = await inTx(client.org, (tx) => tx.db('users').where({ org_id: tx.orgId }))
    expect(JSON.stringify(stored)).not.toContain('hunter2')
  })

  test('have one userName per organisation without regard to case, and one externalId per directory with it', async () => {
    const client = await server.directory('generic')
    const sibling = await server.directory('generic', client.org)
    const stranger = await server.directory('generic')
    await made(client, 'ada', { externalId: 'X1' })
    for (const [who, body, status] of [
      [client, newUser('ADA'), 409],
      [sibling, newUser('ada'), 409],
      [client, newUser('bob', { externalId: 'X1' }), 409],
      [client, newUser('cy', { externalId: 'x1' }), 201],
      [sibling, newUser('dan', { externalId: 'X1' }), 201],
      [stranger, newUser('ada', { externalId: 'X1' }), 201],
    ] as const) {
      const answer = await who.send('/Users', { method: 'POST', body })
      expect([body.userName, answer.status]).toEqual([body.userName, status])
      if (status === 409)
        expect(answer.json).toMatchObject({ schemas: [ERROR], status: '409', scimType: 'uniqueness' })
    }
    const renamed = await made(client, 'eve')
    const clash = await client.send(`/Users/${renamed.id}`, {
      method: 'PATCH',
      body: patchOf({ op: 'replace', path: 'userName', value: 'ada' }),
    })
    expect(clash.status).toBe(409)
    expect((await client.send(`/Users/${renamed.id}`)).json).toEqual(renamed)
  })

  test('are found by userName, externalId and id, alone or joined by and', async () => {
    const client = await server.directory('generic')
    const ada = await made(client, 'Ada@corp.example', { externalId: 'Ext-1' })
    await made(client, 'bob@corp.example', { externalId: 'Ext-2' })
    for (const [filter, found] of [
      ['userName eq "ada@CORP.example"', 1],
      [`urn:ietf:params:scim:schemas:core:2.0:User:USERNAME eq "ada@corp.example"`, 1],
      ['externalId eq "Ext-1"', 1],
      ['externalId eq "ext-1"', 0],
      [`id eq "${ada.id}"`, 1],
      ['id eq "nonsense"', 0],
      ['userName eq "ada@corp.example" and externalId eq "Ext-1"', 1],
      ['(userName eq "ada@corp.example") and externalId eq "Ext-2"', 0],
      ['userName eq "nobody"', 0],
      [`userName eq "x' or '1'='1"`, 0],
    ] as const) {
      const answer = await find(client, filter)
      expect([filter, answer.status, answer.json.totalResults]).toEqual([filter, 200, found])
      expect(answer.json.Resources).toHaveLength(found)
      if (found === 1) expect(answer.json.Resources[0].id).toBe(ada.id)
    }
  })

  test('a filter that is broken, unknown or not offered is a loud 400, never all users', async () => {
    const client = await server.directory('generic')
    await made(client, 'ada')
    for (const filter of [
      '',
      'userName',
      'userName eq ada',
      'favouriteColour eq "red"',
      'userName co "a"',
      'userName eq null',
      'userName eq 1',
      'externalId eq "a" or userName eq "b"',
      'not (userName eq "a")',
      'emails[type eq "work"].value eq "a"',
      'password eq "x"',
      'active gt true',
      `${'('.repeat(5_000)}userName eq "a"${')'.repeat(5_000)}`,
    ]) {
      const answer = await find(client, filter)
      expect([filter.slice(0, 40), answer.status, answer.json.scimType]).toEqual([
        filter.slice(0, 40),
        400,
        'invalidFilter',
      ])
      expect(answer.json.detail).toMatch(/^[A-Za-z].* .*\.$/)
    }
  })

  test('are listed in pages that keep their order, with an exact total', async () => {
    const client = await server.directory('generic')
    const ids: string[] = []
    for (let n = 0; n < 7; n++) ids.push((await made(client, `user${n}`)).id)
    const page = async (query: string) => (await client.send(`/Users?${query}`)).json
    const seen: string[] = []
    for (const startIndex of [1, 4, 7]) {
      const { totalResults, itemsPerPage, Resources } = await page(`startIndex=${startIndex}&count=3`)
      expect([totalResults, itemsPerPage]).toEqual([7, Resources.length])
      seen.push(...Resources.map((user: { id: string }) => user.id))
    }
    expect(seen).toEqual(ids)
    expect(await page('count=0')).toMatchObject({ totalResults: 7, itemsPerPage: 0, Resources: [] })
    expect(await page('count=-5')).toMatchObject({ totalResults: 7, Resources: [] })
    expect(await page('startIndex=-3&count=2')).toMatchObject({ startIndex: 1, itemsPerPage: 2 })
    expect(await page('startIndex=8')).toMatchObject({ totalResults: 7, startIndex: 8, Resources: [] })
    expect(await page('startIndex=999999999999999')).toMatchObject({ totalResults: 7, Resources: [] })
    expect((await page('aadOptscim062020')).totalResults).toBe(7)
    for (const bad of ['count=many', 'startIndex=1.5', 'count=99999999999999999999', 'count=1&count=2']) {
      expect([bad, (await client.send(`/Users?${bad}`)).status]).toEqual([bad, 400])
    }
  })

  test('show the attributes that were asked for, and always the ID', async () => {
    const client = await server.directory('generic')
    const { id } = await made(client, 'ada', {
      name: { givenName: 'Ada', familyName: 'L' },
      [ENTERPRISE]: { department: 'R' },
    })
    const shown = async (query: string) =>
      Object.keys((await client.send(`/Users/${id}?${query}`)).json).sort()
    expect(await shown('attributes=userName')).toEqual(['id', 'schemas', 'userName'])
    expect(await shown('attributes=name.givenName,nonsense')).toEqual(['id', 'name', 'schemas'])
    expect(await shown(`attributes=${ENTERPRISE}:department`)).toEqual(['id', 'schemas', ENTERPRISE].sort())
    expect(await shown('excludedAttributes=id,meta,active,name,password')).toEqual(
      ['id', 'schemas', ENTERPRISE, 'userName'].sort(),
    )
    const listed = await client.send('/Users?attributes=userName')
    expect(listed.json.Resources).toEqual([{ schemas: [USER, ENTERPRISE], id, userName: 'ada' }])
  })

  test('are replaced by PUT: what is left out is gone, but nobody is let back in by leaving active out', async () => {
    const client = await server.directory('generic')
    const { id } = await made(client, 'ada', { title: 'Countess', active: false, externalId: 'X' })
    const answer = await client.send(`/Users/${id}`, {
      method: 'PUT',
      body: newUser('ada2', { id: 'other', nickName: 'A' }),
    })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      id,
      userName: 'ada2',
      nickName: 'A',
      active: false,
      meta: { version: 'W/"2"' },
    })
    expect(answer.json).not.toHaveProperty('title')
    expect(answer.json).not.toHaveProperty('externalId')
    const unnamed = await client.send(`/Users/${id}`, {
      method: 'PUT',
      body: { schemas: [USER], title: 'x' },
    })
    expect([unnamed.status, unnamed.json.scimType]).toEqual([400, 'invalidValue'])
    const absent = await client.send(`/Users/${toId('usr', newUuid())}`, {
      method: 'PUT',
      body: newUser('new'),
    })
    expect(absent.status).toBe(404)
  })

  test('a PATCH is all or nothing, and one that changes nothing moves neither version nor time', async () => {
    const client = await server.directory('generic')
    const before = await made(client, 'ada', {
      emails: [{ value: 'ada@corp.example', type: 'work', primary: true }],
    })
    const patch = (...operations: unknown[]) =>
      client.send(`/Users/${before.id}`, { method: 'PATCH', body: patchOf(...operations) })
    const broken = await patch(
      { op: 'replace', path: 'title', value: 'x' },
      { op: 'replace', path: 'nonsense', value: 1 },
    )
    expect([broken.status, broken.json.scimType]).toEqual([400, 'invalidPath'])
    const same = await patch({
      op: 'add',
      path: 'emails',
      value: [{ type: 'work', value: 'ada@corp.example' }],
    })
    expect([same.status, same.json]).toEqual([200, before])
    const unset = await patch({ op: 'remove', path: 'active' })
    expect([unset.status, unset.json.scimType]).toEqual([400, 'mutability'])
    expect((await client.send(`/Users/${before.id}`)).json).toEqual(before)
    const changed = await patch({ op: 'replace', path: 'active', value: 'False' })
    expect(changed.json).toMatchObject({ active: false, meta: { version: 'W/"2"' } })
    expect(await server.auditActions(client.org)).toEqual([
      'directory.created',
      'user.created',
      'user.deactivated',
    ])
    const actors = await inTx(client.org, (tx) =>
      tx.db('audit_events').where({ action: 'user.deactivated' }).select('actor_type', 'actor_id'),
    )
    expect(actors).toEqual([{ actor_type: 'directory', actor_id: client.directoryId }])
  })

  test('parallel PATCHes of one user all take effect', async () => {
    const client = await server.directory('generic')
    const { id } = await made(client, 'ada')
    const numbers = Array.from({ length: 16 }, (_, n) => `+${n}`)
    const answers = await Promise.all(
      numbers.map((value) =>
        client.send(`/Users/${id}`, {
          method: 'PATCH',
          body: patchOf({ op: 'add', path: 'phoneNumbers', value: [{ value }] }),
        }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(numbers.map(() => 200))
    const { phoneNumbers } = (await client.send(`/Users/${id}`)).json
    expect(phoneNumbers.map(({ value }: { value: string }) => value).sort()).toEqual([...numbers].sort())
  })

  test('answer to If-Match and If-None-Match', async () => {
    const client = await server.directory('generic')
    const { id } = await made(client, 'ada')
    const put = (title: string, tag: string) =>
      client.send(`/Users/${id}`, {
        method: 'PUT',
        body: newUser('ada', { title }),
        headers: { 'if-match': tag },
      })
    expect((await put('one', 'W/"1"')).status).toBe(200)
    expect((await put('two', 'W/"1"')).status).toBe(412)
    expect((await put('two', '"0", W/"2"')).status).toBe(200)
    expect((await put('three', '*')).status).toBe(200)
    const conditional = (tag: string) => client.send(`/Users/${id}`, { headers: { 'if-none-match': tag } })
    expect((await conditional('W/"4"')).status).toBe(304)
    expect((await conditional('W/"3"')).status).toBe(200)
    const gone = await client.send(`/Users/${id}`, { method: 'DELETE', headers: { 'if-match': 'W/"1"' } })
    expect(gone.status).toBe(412)
    expect((await client.send(`/Users/${id}`, { method: 'DELETE' })).status).toBe(204)
  })

  test('of another directory or organisation are not there, to any verb', async () => {
    const mine = await server.directory('generic')
    const sibling = await server.directory('generic', mine.org)
    const stranger = await server.directory('generic')
    const ada = await made(mine, 'ada')
    for (const other of [sibling, stranger]) {
      const path = `/Users/${ada.id}`
      const answers = await Promise.all([
        other.send(path),
        other.send(path, { method: 'PUT', body: newUser('stolen') }),
        other.send(path, { method: 'PATCH', body: patchOf({ op: 'replace', path: 'active', value: false }) }),
        other.send(path, { method: 'DELETE' }),
        other.send('/Users/usr_nonsense'),
      ])
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404])
      expect((await other.send('/Users')).json.totalResults).toBe(0)
      expect((await find(other, 'userName eq "ada"')).json.totalResults).toBe(0)
      expect((await find(other, `id eq "${ada.id}"`)).json.totalResults).toBe(0)
    }
    expect((await mine.send(`/Users/${ada.id}`)).json).toEqual(ada)
  })

  test('two directories that provision at once get each their own rows', async () => {
    const clients = [await server.directory('okta'), await server.directory('entra')]
    const jobs = Array.from({ length: 60 }, (_, n) => ({
      client: clients[n % 2] as Client,
      name: `user${n >> 1}`,
    }))
    for (let at = 0; at < jobs.length; at += 16) {
      const wave = jobs
        .slice(at, at + 16)
        .map(({ client, name }) => made(client, name, { externalId: client.directoryId + name }))
      await Promise.all(wave)
    }
    for (const client of clients) {
      const { totalResults, Resources } = (await client.send('/Users')).json
      expect(totalResults).toBe(30)
      for (const { externalId } of Resources) expect(externalId.startsWith(client.directoryId)).toBe(true)
    }
  })
})
