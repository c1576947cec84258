import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BASE_URL, shape, signed, toXml } from '../../fixtures/saml-responses.ts'
import { createSigner, type Signer } from '../../fixtures/saml-signer.ts'
import { createOpinionPool, type OpinionPool } from '../../src/saml/opinion-pool.ts'
import { askNodeSaml, type OpinionRequest } from '../../src/saml/second-opinion.ts'
import { addresses } from '../../src/saml/service-provider.ts'
import { certificatePem, fixtureParams, post, readFixture } from './fixture-connection.ts'

const honest = readFixture('good', 'assertion-signed')
const { acsUrl, entityId } = addresses(BASE_URL, fixtureParams.connectionId)

const question = (connectionId: string, over: Partial<OpinionRequest> = {}): OpinionRequest => ({
  connectionId,
  xml: honest.xml,
  signed: { response: false, assertion: true },
  encrypted: false,
  certificates: [certificatePem('idp')],
  entityId,
  acsUrl,
  now: new Date(fixtureParams.now).getTime(),
  ...over,
})

/** What a tenant could have its own IdP sign to keep node-saml busy: as many nodes as the reader lets through. */
const quadratic = (signer: Signer): string => {
  const attributes = Array.from({ length: 3 }, (_, n) => ` b${n}=""`).join('')
  const value = `<saml:AttributeValue xmlns:q="urn:q">${`<q:x${attributes}/>`.repeat(1900)}</saml:AttributeValue>`
  return signed(
    toXml(shape({ attributes: `<saml:Attribute Name="q">${value}</saml:Attribute>` })),
    'both',
    signer,
  )
}

let hostile: Pick<OpinionRequest, 'xml' | 'signed' | 'certificates'>
let signer: Signer
/** Half of what the hostile document takes on this machine; honest ones take a small part of it. */
let deadlineMs: number
beforeAll(async () => {
  signer = await createSigner()
  hostile = {
    xml: quadratic(signer),
    signed: { response: true, assertion: true },
    certificates: [signer.certificate],
  }
  // The strict reader lets it through, or none of this would matter.
  await expect(
    post(hostile.xml, fixtureParams, { pems: [signer.certificate], ask: null }),
  ).resolves.toBeDefined()
  const start = performance.now()
  expect(await askNodeSaml(question('con_hostile', hostile))).toEqual(alice)
  deadlineMs = (performance.now() - start) / 2
})

const pools: OpinionPool[] = []
const pool = (options: Parameters<typeof createOpinionPool>[0] = {}): OpinionPool => {
  const made = createOpinionPool(options)
  pools.push(made)
  return made
}
afterAll(() => Promise.all(pools.map((made) => made.close())))

const alice = { accepted: true, subject: 'alice-4711' }
const timeout = { code: 'opinion_timeout' }

describe('the pool of second opinions', () => {
  it('answers honest logins of many connections in parallel, and says why it refuses', async () => {
    const { ask } = pool()
    const asked = Array.from({ length: 24 }, (_, n) => ask(question(`con_${n % 5}`)))
    const other = ask(question('con_x', { certificates: [signer.certificate] }))
    expect(await Promise.all(asked)).toEqual(asked.map(() => alice))
    expect(await other).toMatchObject({ accepted: false, why: 'Invalid signature' })
  })

  it('cuts a signed quadratic document at the deadline while the logins of others go on', async () => {
    const { ask } = pool({ deadlineMs })
    await Promise.all([ask(question('con_1')), ask(question('con_2'))])
    const refused = ask(question('con_hostile', hostile))
    const queued = ask(question('con_hostile', hostile))
    let settled = false
    const both = Promise.allSettled([refused, queued]).then((outcomes) => {
      settled = true
      return outcomes
    })
    for (let round = 0; round < 5; round += 1) expect(await ask(question('con_1'))).toEqual(alice)
    expect(settled).toBe(false)
    expect(await both).toMatchObject([
      { status: 'rejected', reason: timeout },
      { status: 'rejected', reason: timeout },
    ])
    // The thread that was ended is replaced, for the hostile connection too.
    expect(await ask(question('con_hostile'))).toEqual(alice)
  })

  it('refuses a sign-in by its own reason when no opinion comes', async () => {
    const { ask } = pool({ deadlineMs: 1 })
    await expect(post(honest.xml, honest.params, { ask })).rejects.toMatchObject(timeout)
    await expect(post(honest.xml, honest.params, { ask: pool().ask })).resolves.toMatchObject({
      subject: 'alice-4711',
    })
  })

  it('is unavailable when its queue is full, to one connection before it is to the others', async () => {
    const { ask } = pool({ threads: 1, queue: 4 })
    const full = { kind: 'unavailable', code: 'opinion_queue_full' }
    const first = [ask(question('con_1')), ask(question('con_1'))]
    await expect(ask(question('con_1'))).rejects.toMatchObject(full)
    const second = [ask(question('con_2')), ask(question('con_3'))]
    await expect(ask(question('con_4'))).rejects.toMatchObject(full)
    expect(await Promise.all([...first, ...second])).toEqual([alice, alice, alice, alice])
    expect(await ask(question('con_4'))).toEqual(alice)
  })

  it('tells those who wait when it is closed, and takes nobody after that', async () => {
    const closing = pool({ threads: 1 })
    const waiting = closing.ask(question('con_1')).catch((error: unknown) => error)
    await closing.close()
    expect(await waiting).toMatchObject({ kind: 'unavailable' })
    await expect(closing.ask(question('con_1'))).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('the event loop', () => {
  it('stays free while a hundred garbage-signed quadratic documents arrive', async () => {
    const { ask } = pool()
    await ask(question('con_1'))
    const garbage = readFixture('bad', 'signed-by-another-key').xml
    const documents = [80, 220, 660].map((kilobytes) =>
      garbage.replace('</saml:Assertion>', `${'<a/>'.repeat((kilobytes * 1024) / 4)}</saml:Assertion>`),
    )
    // Under the cap of elements, so that it is parsed and its signature looked at.
    documents.push(
      hostile.xml.replace(/<ds:SignatureValue>[^<]*/g, `<ds:SignatureValue>${'A'.repeat(342)}==`),
    )
    const delay = monitorEventLoopDelay({ resolution: 5 })
    const logins: Promise<unknown>[] = []
    delay.enable()
    for (let round = 0; round < 100; round += 1) {
      await expect(post(documents[round % 4] ?? '', fixtureParams, { ask })).rejects.toMatchObject({
        kind: 'forbidden',
      })
      if (round % 10 === 0) logins.push(post(honest.xml, fixtureParams, { ask }))
      await new Promise((resolve) => setImmediate(resolve))
    }
    delay.disable()
    expect(await Promise.all(logins)).toHaveLength(10)
    // node-saml takes 4 to 160 seconds for one of these. Nanoseconds; generous for a machine with other things to do.
    expect(delay.percentile(99) / 1e6).toBeLessThan(500)
  })
})
