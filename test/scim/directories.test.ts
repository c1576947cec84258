import { describe, expect, test } from 'vitest'
import { newUuid, toId } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import { newUser, scimServer } from './support/server.ts'

describe('a directory', () => {
  const server = scimServer()

  test('is known by its token; no token, a foreign one or a maimed one is 401 with a challenge', async () => {
    const client = await server.directory('generic')
    expect((await client.send('/Users')).status).toBe(200)
    const bad = [
      null,
      'nonsense',
      `${client.token}x`,
      client.token.replace(/.$/, (end) => (end === '0' ? '1' : '0')),
    ]
    for (const token of bad) {
      const answer = await client.send('/Users', { token })
      expect([token, answer.status]).toEqual([token, 401])
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="scim"/)
      expect(answer.headers.get('content-type')).toBe('application/scim+json')
      expect(answer.json.status).toBe('401')
    }
    const basic = await client.send('/Users', {
      token: null,
      headers: { authorization: `Basic ${client.token}` },
    })
    expect(basic.status).toBe(401)
  })

  test('of another organisation, of the same one, or of none is 404 to a good token, all alike', async () => {
    const one = await server.directory('generic')
    const sibling = await server.directory('generic', one.org)
    const other = await server.directory('generic')
    const answers = await Promise.all(
      [
        sibling.base,
        other.base,
        `/scim/v2/${toId('dir', newUuid())}`,
        '/scim/v2/dir_nonsense',
        '/scim/v2',
      ].map((base) => server.send(`${base}/Users`, { token: one.token })),
    )
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404])
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  })

  test('gets a new token and the old one stops at once, or after the overlap', async () => {
    const client = await server.directory('generic')
    const now = server.clock.now()
    server.clock.now = () => now
    const second = (await server.directories.rotateToken(client.org, client.directoryId)).token
    expect((await client.send('/Users')).status).toBe(401)
    expect((await client.send('/Users', { token: second })).status).toBe(200)

    const third = (
      await server.directories.rotateToken(client.org, client.directoryId, { overlapSeconds: 60 })
    ).token
    server.clock.now = () => new Date(now.getTime() + 59_000)
    expect((await client.send('/Users', { token: second })).status).toBe(200)
    server.clock.now = () => new Date(now.getTime() + 60_000)
    expect((await client.send('/Users', { token: second })).status).toBe(401)
    expect((await client.send('/Users', { token: third })).status).toBe(200)
    expect((await client.send('/Users')).status).toBe(401)
    server.clock.now = () => new Date()
    expect(await server.auditActions(client.org)).toEqual([
      'directory.created',
      'directory.token_rotated',
      'directory.token_rotated',
    ])
  })

  test('is deleted with its tokens, and leaves its users to the organisation', async () => {
    const client = await server.directory('okta')
    await client.send('/Users', { method: 'POST', body: newUser('left@corp.example') })
    await server.directories.delete(client.org, client.directoryId)
    expect((await client.send('/Users')).status).toBe(401)
    expect(await server.directories.list(client.org)).toEqual([])
    const left = await inTx(client.org, (tx) =>
      tx.db('users').where({ org_id: tx.orgId }).select('directory_id', 'active'),
    )
    expect(left).toEqual([{ directory_id: null, active: true }])
  })

  test('needs a profile and a connection that exist, and belongs to one organisation', async () => {
    const org = await server.organisation()
    const { create, rotateToken, list } = server.directories
    await expect(create(org, { profile: 'constructor' })).rejects.toMatchObject({ code: 'unknown_profile' })
    await expect(create(org, { profile: 'okta', connectionId: newUuid() })).rejects.toMatchObject({
      code: 'connection_not_found',
    })
    const made = await create(org, { profile: 'okta' })
    expect(await list(org)).toMatchObject([{ id: made.id, profile: 'okta', connectionId: null }])
    const other = await server.organisation()
    expect(await list(other)).toEqual([])
    await expect(rotateToken(other, made.id)).rejects.toMatchObject({ code: 'directory_not_found' })
    await expect(server.directories.delete(other, made.id)).rejects.toMatchObject({
      code: 'directory_not_found',
    })
  })

  test('keeps the token as a hash, and out of the audit trail and the log', async () => {
    const client = await server.directory('generic')
    await client.send('/Users', { method: 'POST', body: '{' })
    const rows = await inTx(client.org, async (tx) => [
      await tx.db('directory_tokens').where({ org_id: tx.orgId }),
      await tx.db('audit_events').where({ org_id: tx.orgId }),
    ])
    const secret = client.token.split('_').at(-1) ?? client.token
    expect(JSON.stringify(rows)).not.toContain(secret)
    expect(server.log.join('')).not.toContain(secret)
    expect(server.log.join('')).toContain('invalid_syntax')
  })
})
