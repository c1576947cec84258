import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RefusalReason } from '../../src/connections/contract.ts'
import {
  type Bend,
  hangingUp,
  type Json,
  type MisbehavingOp,
  startMisbehavingOp,
} from '../support/misbehaving-op.ts'
import { begin, callbackOf, openTo, redirectOf, refusalOf, signIn, visit } from './opening.ts'

let op: MisbehavingOp
let elsewhere: MisbehavingOp

beforeAll(async () => {
  op = await startMisbehavingOp()
  elsewhere = await startMisbehavingOp()
})
afterAll(async () => {
  await op.close()
  await elsewhere.close()
})

describe('a callback is refused', () => {
  const arrive = async (change: (parameters: URLSearchParams) => void, expecting: Json = {}) => {
    op.bend({})
    const connection = openTo(op)
    const begun = await begin(connection)
    const url = await visit(redirectOf(begun))
    change(url.searchParams)
    const expects = { ...begun.expects, ...expecting } as Record<string, string>
    return connection.finish({ ...callbackOf(url), now: new Date(), expects })
  }

  const table: [string, RefusalReason, (parameters: URLSearchParams) => void][] = [
    ['with the state of another flow', 'request_mismatch', (p) => p.set('state', 'another')],
    ['without state', 'malformed', (p) => p.delete('state')],
    ['that names another IdP (mix-up)', 'response_issuer_mismatch', (p) => p.set('iss', 'https://evil.test')],
    ['that names no IdP where its metadata promise it', 'response_issuer_mismatch', (p) => p.delete('iss')],
    ['without code', 'malformed', (p) => p.delete('code')],
    ['with a code that was never given', 'code_refused', (p) => p.set('code', 'made-up')],
    ['with an ID token beside the code', 'token_invalid', (p) => p.set('id_token', 'a.b.c')],
    ['with access_denied', 'idp_refused', (p) => p.set('error', 'access_denied')],
    ['with login_required', 'idp_refused', (p) => p.set('error', 'login_required')],
    ['with unauthorized_client', 'idp_misconfigured', (p) => p.set('error', 'unauthorized_client')],
    ['with temporarily_unavailable', 'idp_unreachable', (p) => p.set('error', 'temporarily_unavailable')],
    [
      'with an error from another IdP',
      'response_issuer_mismatch',
      (p) => {
        p.set('error', 'access_denied')
        p.set('iss', 'https://evil.test')
      },
    ],
  ]
  it.each(table)('%s: %s', async (_name, reason, change) => {
    expect((await refusalOf(arrive(change))).reason).toBe(reason)
    expect((await arrive(() => undefined)).subject).toBe(op.subject)
  })

  it('with the nonce or the code verifier of another flow', async () => {
    expect((await refusalOf(arrive(() => undefined, { nonce: 'another' }))).reason).toBe('nonce_mismatch')
    const verifier = 'v'.repeat(43)
    expect((await refusalOf(arrive(() => undefined, { codeVerifier: verifier }))).reason).toBe('code_refused')
  })

  it.each(['state', 'nonce', 'codeVerifier'])('when the flow has lost its %s', async (name) => {
    const { reason } = await refusalOf(arrive(() => undefined, { [name]: '' }))
    expect(reason).toBe('flow_unknown')
  })

  it('a second time, and the identity of the first names what was used up', async () => {
    op.bend({})
    const connection = openTo(op)
    const begun = await begin(connection)
    const callback = callbackOf(await visit(redirectOf(begun)))
    const finish = () => connection.finish({ ...callback, now: new Date(), expects: begun.expects })
    const { replay } = await finish()
    expect((await refusalOf(finish())).reason).toBe('code_refused')
    expect(replay.until.getTime()).toBeGreaterThan(Date.now())
    expect(replay.key).not.toContain(begun.expects.nonce)
    expect((await signIn(connection)).replay.key).not.toBe(replay.key)
  })

  it('with the code of another connection at the same IdP, and with that of another IdP', async () => {
    op.bend({})
    elsewhere.bend({})
    const ours = openTo(op)
    const begun = await begin(ours)
    for (const other of [openTo(op, { id: 'con_other' }), openTo(elsewhere)]) {
      const stolen = await visit(redirectOf(await begin(other)))
      const query = {
        ...begun.expects,
        state: begun.flowId,
        iss: op.issuer,
        code: stolen.searchParams.get('code') ?? '',
      }
      const finish = ours.finish({ method: 'GET', query, form: {}, now: new Date(), expects: begun.expects })
      expect((await refusalOf(finish)).reason).toBe('code_refused')
    }
    expect((await signIn(ours)).subject).toBe(op.subject)
  })

  it('and the text of the IdP reaches the log short and on one line', async () => {
    const { error } = await refusalOf(
      arrive((p) => {
        p.set('error', 'access_denied')
        p.set('error_description', `AADSTS50105: not assigned\n{"forged":1}${'x'.repeat(5_000)}`)
      }),
    )
    const description = String(error.detail?.description)
    expect(description).toMatch(/^AADSTS50105: not assigned \{"forged"/)
    expect(description.length).toBeLessThanOrEqual(300)
  })
})

describe('what the log is given', () => {
  it('holds no code, token, secret, nonce or verifier, however it fails', async () => {
    const tokens: string[] = []
    const keep: Bend['token'] = (answer) => {
      tokens.push(String(answer.id_token), String(answer.access_token))
      return answer
    }
    const bends: Bend[] = [
      { token: (answer) => ({ ...keep(answer), token_type: 'mac' }) },
      { token: keep, claims: (c) => ({ ...c, nonce: 'another' }) },
      { token: keep, claims: (c) => ({ ...c, aud: 'another' }) },
      { token: keep, header: { kid: 'unknown' } },
      { token: keep, claims: (c) => ({ ...c, exp: 1 }) },
      { token: keep, claims: (c) => ({ ...c, at_hash: 'x' }) },
      { token: (answer) => ({ ...keep(answer), access_token: 7 }) },
      {
        tokenEndpoint: (_request, response) => response.writeHead(307, { location: elsewhere.address }).end(),
      },
      { tokenEndpoint: hangingUp },
      { callback: (p) => p.set('error', 'access_denied') },
    ]
    for (const bend of bends) {
      op.bend(bend)
      const connection = openTo(op)
      const begun = await begin(connection)
      const callback = callbackOf(await visit(redirectOf(begun)))
      const { error } = await refusalOf(
        connection.finish({ ...callback, now: new Date(), expects: begun.expects }),
      )
      const { state, nonce, codeVerifier } = begun.expects
      const secrets = [op.client.secret, callback.query.code, state, nonce, codeVerifier, ...tokens]
      const logged = everything(error)
      for (const secret of secrets) expect(logged).not.toContain(secret)
    }
    expect(tokens.length).toBeGreaterThan(10)
  })
})

/** All that a serializer could find in an error: own properties, enumerable or not, down the chain of causes. */
const everything = (value: unknown, seen = new Set<unknown>()): string => {
  if (typeof value !== 'object' || value === null) return String(value)
  if (seen.has(value)) return ''
  seen.add(value)
  const iterated = value instanceof URLSearchParams || value instanceof Headers ? String([...value]) : ''
  const own = Object.getOwnPropertyNames(value).map((name) => everything(Reflect.get(value, name), seen))
  return [iterated, ...own].join(' ')
}
