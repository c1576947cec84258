import { decodeJwt, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toId } from '../../src/core/ids.ts'
import { inTx } from '../../src/db/transaction.ts'
import { startBroker, type TestBroker } from '../support/broker.ts'
import { testDatabase } from '../support/database.ts'
import {
  issueCode,
  movableClock,
  openSession,
  person,
  type Tenant,
  tenant,
} from '../tokens/support/installation.ts'
import { credentials, type RegisteredClient, registerClient, tokenRequest } from './support/provider.ts'

const REDIRECT_URI = 'https://app.test/callback'

describe('the userinfo endpoint', () => {
  const db = testDatabase()
  const clock = movableClock()
  let broker: TestBroker
  let acme: Tenant
  let client: RegisteredClient

  beforeAll(async () => {
    broker = await startBroker({ db: db.app, clock })
    acme = await tenant(broker.services, broker.ctx, 'acme.test')
    client = await registerClient(broker, { redirectUris: [REDIRECT_URI] })
  })

  afterAll(() => broker.close())

  let count = 0
  const signedIn = async (scope = 'openid profile email') => {
    count += 1
    const fields = person(`user${count}@acme.test`)
    const user = await broker.services.users.create(acme.ctx, fields, { directoryId: null })
    const { session } = await openSession(broker.services, acme, user.id, clock.now())
    const app = { ...client, audience: client.audience }
    const { code, verifier } = await issueCode(broker.services, acme, session, app, { scope })
    const { body } = await tokenRequest(broker, {
      ...credentials(client),
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    return { user, session, access: body.access_token ?? '', idToken: body.id_token ?? '' }
  }

  const userinfo = (authorization: string | undefined, method = 'GET') =>
    fetch(`${broker.baseUrl}/oauth2/userinfo`, {
      method,
      headers: authorization === undefined ? {} : { authorization },
    })

  const statusOf = async (token: string): Promise<number> => (await userinfo(`Bearer ${token}`)).status

  test.each(['GET', 'POST'])('by %s it says what the scopes asked for', async (method) => {
    const { access, user } = await signedIn()
    const response = await userinfo(`Bearer ${access}`, method)
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      sub: toId('usr', user.id),
      org_id: toId('org', acme.ctx.orgId),
      email: user.email,
      email_verified: true,
      preferred_username: user.userName,
      name: user.displayName,
      given_name: user.givenName,
      family_name: user.familyName,
    })
    const bare = await signedIn('openid')
    expect(await (await userinfo(`Bearer ${bare.access}`, method)).json()).toEqual({
      sub: toId('usr', bare.user.id),
      org_id: toId('org', acme.ctx.orgId),
    })
  })

  test('it says what is true now, not at the time of the sign-in', async () => {
    const { access, user } = await signedIn()
    await inTx(acme.ctx, async (tx) => {
      const before = await broker.services.users.lock(tx, user.id, undefined)
      await broker.services.users.update(tx, before, { ...before, displayName: 'Someone Else' })
    })
    expect(await (await userinfo(`Bearer ${access}`)).json()).toMatchObject({ name: 'Someone Else' })
  })

  test.each([
    ['no credential', undefined],
    ['an empty one', 'Bearer '],
    ['Basic', `Basic ${Buffer.from('a:b').toString('base64')}`],
    ['rubbish', 'Bearer rubbish'],
    ['two tokens', 'Bearer a b'],
  ])('%s is refused, and says how to do it', async (_, authorization) => {
    const response = await userinfo(authorization)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
    expect(await response.json()).toMatchObject({ error: 'invalid_token' })
  })

  test('a token in the query is not taken', async () => {
    const { access } = await signedIn()
    const response = await fetch(`${broker.baseUrl}/oauth2/userinfo?access_token=${access}`)
    expect(response.status).toBe(401)
    expect(await statusOf(access)).toBe(200)
  })

  test('an ID token, an expired token, one for another client and one without a signature are refused', async () => {
    const { access, idToken } = await signedIn()
    expect(await statusOf(idToken)).toBe(401)
    const { kid, privateKey } = await broker.services.keys.current(broker.ctx)
    const header = { alg: 'ES256', typ: 'at+jwt', kid }
    const foreign = { ...decodeJwt(access), aud: (await registerClient(broker)).audience }
    expect(await statusOf(await new SignJWT(foreign).setProtectedHeader(header).sign(privateKey))).toBe(401)
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url')
    expect(await statusOf(`${none}.${access.split('.')[1]}.`)).toBe(401)
    expect(await statusOf(access)).toBe(200)
    clock.advance(300)
    expect(await statusOf(access)).toBe(401)
  })

  test('a token whose session has ended, whose user has left or whose epoch is past is refused', async () => {
    const { services } = broker
    const [signedOut, left, past, staying] = [
      await signedIn(),
      await signedIn(),
      await signedIn(),
      await signedIn(),
    ]
    await inTx(acme.ctx, (tx) => services.endSessions.one(tx, signedOut.session.id, 'signed_out'))
    await services.users.setActive(acme.ctx, left.user.id, false)
    await inTx(acme.ctx, (tx) => tx.db('users').where({ id: past.user.id }).increment('epoch', 1))
    for (const { access } of [signedOut, left, past]) expect(await statusOf(access)).toBe(401)
    expect(await statusOf(staying.access)).toBe(200)
  })

  test('a token of a client that was disabled is refused', async () => {
    const { access } = await signedIn()
    await db.app('clients').where({ id: client.id }).update({ disabled_at: new Date() })
    expect(await statusOf(access)).toBe(401)
    await db.app('clients').where({ id: client.id }).update({ disabled_at: null })
    expect(await statusOf(access)).toBe(200)
  })
})
