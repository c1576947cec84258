import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type {
  Callback,
  ConnectionRecord,
  ConnectionType,
  Expects,
  OpenConnection,
  OutboundFetch,
} from '../../src/connections/contract.ts'
import { addSeconds, systemClock } from '../../src/core/clock.ts'
import { AppError } from '../../src/core/errors.ts'
import { newUuid, toId } from '../../src/core/ids.ts'
import { startOidcIdp } from '../../src/demo/oidc-idp.ts'
import { startSamlIdp } from '../../src/demo/saml-idp.ts'
import { createUserAgent, type Page } from '../../src/demo/user-agent.ts'
import { isRefusalReason } from '../../src/login/refusals.ts'
import { createOutbound } from '../../src/net/outbound.ts'
import { connectionTypes } from '../../src/services.ts'
import { someone } from '../support/scenario.ts'

const BASE_URL = 'http://localhost:3000'

const ada = someone('Ada', 'contract.test')

type Setup = {
  /** The draft of a new connection, filled in from the IdP's side. */
  complete: (type: ConnectionType, id: string) => Promise<Pick<ConnectionRecord, 'config' | 'secrets'>>
  /** From the page that the IdP shows to what the browser brings back. */
  finishAtIdp: (page: Page, pick: (page: Page) => Promise<Page>) => Promise<Callback>
  tamperings: Record<string, (callback: Callback) => Callback>
  /** What an IdP's side that is out of order is reported as. */
  broken: (record: ConnectionRecord) => { record: ConnectionRecord; now: Date; reason: RegExp }
  close: () => Promise<void>
}

const form = (callback: Callback, changes: Record<string, string>): Callback => ({
  ...callback,
  form: { ...callback.form, ...changes },
})

const query = (callback: Callback, changes: Record<string, string>): Callback => ({
  ...callback,
  query: { ...callback.query, ...changes },
})

const inXml = (callback: Callback, change: (xml: string) => string): Callback => {
  const xml = Buffer.from(callback.form.SAMLResponse ?? '', 'base64').toString()
  return form(callback, { SAMLResponse: Buffer.from(change(xml)).toString('base64') })
}

const saml = async (): Promise<Setup> => {
  const idp = await startSamlIdp({ people: [ada] })
  return {
    complete: async (type, id) => {
      const { config, secrets } = await type.draft()
      const { acsUrl = '', entityId = '' } = type.urls(BASE_URL, id)
      idp.setServiceProvider({ acsUrl, entityId })
      return {
        config: { ...(config as object), ...type.importMetadata?.(idp.metadataXml, new Date()) },
        secrets,
      }
    },
    finishAtIdp: async (page, pick) => {
      const { fields } = (await pick(page)).form('SAMLResponse')
      return { method: 'POST', query: {}, form: fields }
    },
    tamperings: {
      'somebody else in it': (callback) =>
        inXml(callback, (xml) => xml.replaceAll(ada.email, 'eve@contract.test')),
      'a character more': (callback) => inXml(callback, (xml) => `${xml} x`),
      'no message': (callback) => ({ ...callback, form: { RelayState: callback.form.RelayState ?? '' } }),
      'its parameters in the query': (callback) => ({ method: 'GET', query: callback.form, form: {} }),
      'rubbish in it': (callback) => form(callback, { SAMLResponse: 'rubbish' }),
    },
    // The IdP is met through browsers only; its certificate is what can be asked without one.
    broken: (record) => ({
      record,
      now: addSeconds(new Date(), 100 * 366 * 86_400),
      reason: /^certificate_/,
    }),
    close: idp.close,
  }
}

const oidc = async (): Promise<Setup> => {
  const idp = await startOidcIdp({ people: [ada] })
  return {
    complete: async (type, id) => {
      const { config } = await type.draft()
      const client = { clientId: 'contract', clientSecret: 'only-for-this-test-run' }
      idp.register({ ...client, redirectUri: type.urls(BASE_URL, id).redirectUri ?? '' })
      return {
        config: { ...(config as object), issuer: idp.issuer, clientId: client.clientId },
        secrets: { clientSecret: client.clientSecret },
      }
    },
    finishAtIdp: async (page, pick) => {
      const { location } = (await pick(page)).headers
      const { searchParams } = new URL(String(location))
      return { method: 'GET', query: Object.fromEntries(searchParams), form: {} }
    },
    tamperings: {
      'another code': (callback) => query(callback, { code: 'another' }),
      'another state': (callback) => query(callback, { state: 'A'.repeat(43) }),
      'another issuer': (callback) => query(callback, { iss: 'https://evil.test' }),
      'an error': (callback) =>
        query({ ...callback, query: { state: callback.query.state ?? '' } }, { error: 'access_denied' }),
      'no parameters': (callback) => ({ ...callback, query: {} }),
    },
    broken: (record) => ({
      record: { ...record, config: { ...(record.config as object), issuer: 'http://localhost:9' } },
      now: new Date(),
      reason: /^idp_unreachable$/,
    }),
    close: idp.close,
  }
}

const setups: Readonly<Record<string, () => Promise<Setup>>> = { saml, oidc }

/** Answers a request that was made before as it was answered then: so an IdP's own single use is out of the way. */
const remembering = (fetch: OutboundFetch): OutboundFetch => {
  const answers = new Map<string, Response>()
  return async (url, init) => {
    const key = JSON.stringify([String(url), String(init?.body ?? '')])
    const answer = answers.get(key) ?? (await fetch(url, init))
    answers.set(key, answer)
    return answer.clone()
  }
}

test('every connection type is held to the contract', () => {
  expect(connectionTypes.map(({ type }) => type).sort()).toEqual(Object.keys(setups).sort())
})

describe.each(connectionTypes.map((type) => [type.type, type] as const))(
  'the contract, kept by %s',
  (name, type) => {
    const id = toId('con', newUuid())
    const outbound = createOutbound({ allowLoopback: true })
    let setup: Setup
    let record: ConnectionRecord
    let opened: OpenConnection

    const open = (changed: ConnectionRecord = record, now = systemClock.now): OpenConnection =>
      type.open(changed, { fetch: remembering(outbound.fetch), clock: { now } })

    beforeAll(async () => {
      setup = await (setups[name] as () => Promise<Setup>)()
      const { config, secrets } = await setup.complete(type, id)
      record = { id, name: 'Contract', baseUrl: BASE_URL, config: type.config.parse(config), secrets }
      opened = open()
    })

    afterAll(async () => {
      await setup.close()
      await outbound.close()
    })

    const begin = () => opened.begin({ loginHint: ada.email, forceAuthentication: false })

    /** A browser's trip to the IdP and back, up to the callback. */
    const trip = async (): Promise<{ callback: Callback; expects: Expects; flowId: string }> => {
      const begun = await begin()
      if (!('redirect' in begun.to)) throw new Error('both types begin with a redirect')
      const agent = createUserAgent()
      const outside = { follow: (next: URL) => next.origin !== BASE_URL }
      const page = await agent.get(begun.to.redirect, outside)
      const pick = (shown: Page) => agent.submit(shown.form('person'), { person: ada.id }, outside)
      const callback = await setup.finishAtIdp(page, pick)
      await agent.close()
      return { callback, expects: begun.expects, flowId: begun.flowId }
    }

    const finish = (callback: Callback, expects: Expects, now = new Date()) =>
      opened.finish({ ...callback, now, expects })

    const reasonOf = async (attempt: Promise<unknown>): Promise<string> => {
      const error = await attempt.then(
        () => new Error('it was not refused'),
        (thrown: unknown) => thrown,
      )
      if (!(error instanceof AppError)) throw error
      expect(isRefusalReason(error.code), error.code).toBe(true)
      expect(['forbidden', 'upstream']).toContain(error.kind)
      return error.code
    }

    test('a draft has the URLs that the IdP wants, before the IdP’s side exists', async () => {
      const urls = Object.values(type.urls(BASE_URL, id))
      expect(urls.length).toBeGreaterThan(0)
      for (const url of urls) expect(url.startsWith(`${BASE_URL}/${type.type}/${id}`)).toBe(true)
      const { config, secrets } = await type.draft()
      expect(type.config.parse(config)).toEqual(config)
      expect(Object.keys(secrets).every((secret) => type.secretFields.includes(secret))).toBe(true)
      expect(JSON.stringify(config)).not.toContain('PRIVATE KEY')
    })

    test('two drafts share no secret', async () => {
      const [first, second] = [await type.draft(), await type.draft()]
      for (const secret of Object.keys(first.secrets)) {
        expect(first.secrets[secret]).not.toBe(second.secrets[secret])
      }
    })

    test('the callback arrives at an address of the connection’s own', () => {
      expect(Object.values(type.urls(BASE_URL, id))).toContain(
        `${BASE_URL}/${type.type}/${id}/${type.callback.path}`,
      )
      expect(type.callback.methods.length).toBeGreaterThan(0)
    })

    test('missing says in words what a draft lacks, and nothing of a complete one', async () => {
      const { config, secrets } = await type.draft()
      const lacking = type.missing(config, secrets)
      expect(lacking.length).toBeGreaterThan(0)
      for (const words of lacking) expect(words).toMatch(/^[a-z].{5,}$/i)
      expect(type.missing(record.config, record.secrets)).toEqual([])
      expect(type.missing(record.config, {}).length).toBe(1)
    })

    test('a connection that is not complete neither begins nor tests well', async () => {
      const draft = { ...record, ...(await type.draft()) }
      const unfinished = open(draft)
      expect(await reasonOf(unfinished.begin({ loginHint: undefined, forceAuthentication: false }))).toBe(
        'idp_misconfigured',
      )
      expect(await reasonOf(unfinished.test())).toBe('idp_misconfigured')
    })

    test('begin gives a flow ID of 256 bits that never comes twice, and goes to the IdP', async () => {
      const begun = await Promise.all(Array.from({ length: 50 }, begin))
      const ids = begun.map(({ flowId }) => flowId)
      expect(new Set(ids).size).toBe(50)
      for (const flowId of ids) {
        expect(flowId).toMatch(/^[A-Za-z0-9_-]{43}$/)
        expect(Buffer.from(flowId, 'base64url')).toHaveLength(32)
      }
      for (const { to, expects } of begun) {
        expect('redirect' in to && new URL(to.redirect).origin).not.toBe(BASE_URL)
        // Kept by the journey as JSON.
        expect(JSON.parse(JSON.stringify(expects))).toEqual(expects)
      }
    })

    test('flowId reads the flow out of the callback, and null out of one without', async () => {
      const { callback, flowId } = await trip()
      expect(opened.flowId(callback)).toBe(flowId)
      expect(opened.flowId({ ...callback, query: {}, form: {} })).toBeNull()
    })

    test('finish gives the identity that the IdP proved, with a replay key that outlives the proof', async () => {
      const { callback, expects } = await trip()
      const now = new Date()
      const identity = await finish(callback, expects, now)
      expect(identity).toMatchObject({
        subject: expect.stringMatching(/.+/),
        linkValues: { externalId: ada.id, userName: ada.email },
        email: ada.email,
        displayName: ada.displayName,
        givenName: ada.givenName,
        familyName: ada.familyName,
        groups: [],
        replay: { key: expect.stringMatching(/.{16,}/), until: expect.any(Date) },
      })
      expect(identity.replay.until.getTime()).toBeGreaterThan(now.getTime())
      expect(Math.abs(identity.authTime.getTime() - now.getTime())).toBeLessThan(60_000)
      expect(Object.getPrototypeOf(identity.attributes)).toBeNull()
      expect(await reasonOf(finish(callback, expects, identity.replay.until))).toMatch(
        /expired|token_invalid|token_stale/,
      )
    })

    test('an identical second finish says the same again: replays are the journey’s to refuse', async () => {
      const { callback, expects } = await trip()
      const now = new Date()
      const first = await finish(callback, expects, now)
      expect(await finish(callback, expects, now)).toEqual(first)
      const another = await trip()
      expect((await finish(another.callback, another.expects, now)).replay.key).not.toBe(first.replay.key)
    })

    test('an answer to one flow is refused in another', async () => {
      const [one, other] = [await trip(), await trip()]
      expect(await reasonOf(finish(one.callback, other.expects))).toBe('request_mismatch')
      await reasonOf(finish(one.callback, {}))
      expect((await finish(one.callback, one.expects)).email).toBe(ada.email)
    })

    test('an answer for one connection is refused at another of the same IdP', async () => {
      const { callback, expects } = await trip()
      const elsewhere = open({ ...record, id: toId('con', newUuid()) })
      await reasonOf(elsewhere.finish({ ...callback, now: new Date(), expects }))
      expect((await finish(callback, expects)).email).toBe(ada.email)
    })

    test('a callback with anything changed in it is refused, with a reason of the list', async () => {
      for (const tamper of Object.values(setup.tamperings)) {
        const { callback, expects } = await trip()
        await reasonOf(finish(tamper(callback), expects))
        expect((await finish(callback, expects)).email).toBe(ada.email)
      }
    })

    test('a refusal holds no part of the message in what may be shown', async () => {
      const { callback } = await trip()
      const error = await finish(callback, {}).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(AppError)
      for (const value of [...Object.values(callback.form), ...Object.values(callback.query)]) {
        expect((error as AppError).message).not.toContain(value)
        expect(JSON.stringify((error as AppError).detail ?? {})).not.toContain(value)
      }
    })

    test('test passes where all is well, and reports an IdP’s side that is not', async () => {
      await expect(opened.test()).resolves.toBeUndefined()
      const { record: changed, now, reason } = setup.broken(record)
      expect(await reasonOf(open(changed, () => now).test())).toMatch(reason)
    })
  },
)
