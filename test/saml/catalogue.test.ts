import { describe, expect, it } from 'vitest'
import { counted, fixtures, post, readFixture } from './fixture-connection.ts'

describe('an honest response', () => {
  it.each(fixtures('good'))('in the shape of $name signs its person in', async ({ xml, params }) => {
    const opinion = counted()
    const identity = await post(xml, params, { ask: opinion.ask })
    expect(identity).toMatchObject(params.expect ?? {})
    expect(identity.replay.key).toBe('_assertion-1')
    expect(identity.replay.until).toEqual(new Date('2026-01-15T09:06:00Z'))
    expect(opinion.calls()).toBe(1)
  })
})

describe('a response that must never work', () => {
  it.each(fixtures('bad'))('is refused for its own reason: $name', async ({ xml, params }) => {
    const opinion = counted()
    await expect(post(xml, params, { ask: opinion.ask })).rejects.toMatchObject({ code: params.reason })
    expect(opinion.calls()).toBe(0)
    const honest = readFixture('good', params.honest ?? '')
    await expect(post(honest.xml, honest.params)).resolves.toMatchObject({ subject: 'alice-4711' })
  })
})

describe('the other side of each line', () => {
  const { xml, params } = readFixture('good', 'both-signed')
  const at = (now: string) => post(xml, { ...params, now })

  it('is drawn one minute of clock difference after the end', async () => {
    await expect(at('2026-01-15T09:05:57.999Z')).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(at('2026-01-15T09:06:00Z')).rejects.toMatchObject({ code: 'expired' })
  })

  it('is drawn one minute of clock difference before the issue', async () => {
    await expect(at('2026-01-15T08:58:58Z')).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(at('2026-01-15T08:58:57Z')).rejects.toMatchObject({ code: 'not_yet_valid' })
  })

  it('is the request: an answer to none of ours is refused', async () => {
    await expect(post(xml, { ...params, requestId: '' })).rejects.toMatchObject({ code: 'request_mismatch' })
  })

  it('is the connection: the same answer at another connection is refused', async () => {
    const connectionId = 'con_01jhgz5w8be9d8hqk3v5n2c7xn'
    await expect(post(xml, { ...params, connectionId })).rejects.toMatchObject({
      code: 'destination_mismatch',
    })
  })

  it('is the IdP: the same certificate under another entity ID is refused', async () => {
    await expect(post(xml, { ...params, idpEntityId: 'https://other.example' })).rejects.toMatchObject({
      code: 'issuer_mismatch',
    })
  })

  it('is the certificate: a second one beside it does no harm', async () => {
    const both = { ...params, certificates: ['attacker', 'idp'] }
    await expect(post(xml, both)).resolves.toMatchObject({ subject: 'alice-4711' })
    await expect(post(xml, { ...params, certificates: ['attacker'] })).rejects.toMatchObject({
      code: 'signature_invalid',
    })
  })
})

describe('the second opinion', () => {
  const { xml, params } = readFixture('good', 'assertion-signed')

  it('refuses by disagreeing about the subject', async () => {
    const ask = async () => ({ accepted: true as const, subject: 'mallory-666' })
    await expect(post(xml, params, { ask })).rejects.toMatchObject({ code: 'opinions_differ' })
  })

  it('refuses by not accepting', async () => {
    const ask = async () => ({ accepted: false as const, why: 'a test' })
    await expect(post(xml, params, { ask })).rejects.toMatchObject({ code: 'opinions_differ' })
  })
})
