import {
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  generateKeyPair,
  jwtVerify,
  SignJWT,
} from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { toSeconds } from '../../src/core/clock.ts'
import { toId } from '../../src/core/ids.ts'
import { openDatabase } from '../../src/db/pool.ts'
import { inTx } from '../../src/db/transaction.ts'
import type { Services } from '../../src/services.ts'
import { testDatabase } from '../support/database.ts'
import {
  type App,
  BASE_URL,
  issueCode,
  movableClock,
  OFFLINE,
  openSession,
  person,
  REDIRECT_URI,
  refusalCode,
  registerApp,
  servicesOn,
  type Tenant,
  tenant,
} from './support/installation.ts'

const AUDIENCE = 'https://api.test'

describe('tokens', () => {
  const db = testDatabase()
  const clock = movableClock(new Date('2026-03-01T12:00:00.250Z'))
  let services: Services
  let acme: Tenant
  let app: App
  let other: App

  beforeAll(async () => {
    services = servicesOn(clock)
    await services.keys.ensure(db.ctx())
    acme = await tenant(services, db.ctx(), 'acme.test')
    app = await registerApp(services, db.ctx(), AUDIENCE)
    other = await registerApp(services, db.ctx(), 'https://other.test')
  })

  let count = 0
  const signedIn = async ({ scope = OFFLINE, fields = {}, nonce = 'n-0S6' } = {}) => {
    count += 1
    const user = await services.users.create(acme.ctx, person(`user${count}@acme.test`, fields), {
      directoryId: null,
    })
    const { session } = await openSession(services, acme, user.id, clock.now())
    const { code, verifier } = await issueCode(services, acme, session, app, { scope, nonce })
    const response = await services.tokenEndpoint.handle(db.ctx(), '', {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      client_id: app.clientId,
      client_secret: app.clientSecret,
    })
    return { user, session, response, access: response.access_token, idToken: response.id_token }
  }

  const shared = ({ user, session }: Awaited<ReturnType<typeof signedIn>>) => ({
    iss: BASE_URL,
    sub: toId('usr', user.id),
    iat: toSeconds(clock.now()),
    exp: toSeconds(clock.now()) + 300,
    sid: toId('ses', session.id),
    org_id: toId('org', acme.ctx.orgId),
    acr: 'urn:example:acr',
    amr: ['pwd', 'otp'],
    auth_time: toSeconds(session.authTime),
  })

  test('an access token has the claims of RFC 9068 and ours, and no other', async () => {
    const grant = await signedIn()
    expect(decodeProtectedHeader(grant.access)).toEqual({
      alg: 'ES256',
      typ: 'at+jwt',
      kid: (await services.keys.current(db.ctx())).kid,
    })
    const claims = decodeJwt(grant.access)
    expect(claims).toEqual({
      ...shared(grant),
      aud: AUDIENCE,
      client_id: app.clientId,
      jti: expect.stringMatching(/^[\w-]{22}$/),
      roles: ['member'],
      scope: OFFLINE,
      epoch: 0,
    })
    expect(grant.response).toMatchObject({ token_type: 'Bearer', expires_in: 300, scope: OFFLINE })
  })

  test('an ID token is for the client, and says of the person what the scopes asked for', async () => {
    const grant = await signedIn()
    expect(decodeProtectedHeader(grant.idToken)).toMatchObject({ alg: 'ES256', typ: 'JWT' })
    expect(decodeJwt(grant.idToken)).toEqual({
      ...shared(grant),
      aud: app.clientId,
      nonce: 'n-0S6',
      email: grant.user.email,
      email_verified: true,
      preferred_username: grant.user.userName,
      name: 'Someone Tester',
      given_name: 'Someone',
      family_name: 'Tester',
    })
    const bare = await signedIn({ scope: 'openid' })
    expect(decodeJwt(bare.idToken)).toEqual({ ...shared(bare), aud: app.clientId, nonce: 'n-0S6' })
    expect(bare.response).not.toHaveProperty('refresh_token')
  })

  test('a refresh keeps session, sign-in time and scope, and makes other tokens', async () => {
    const grant = await signedIn()
    clock.advance(120)
    const next = await services.tokenEndpoint.handle(db.ctx(), '', {
      grant_type: 'refresh_token',
      refresh_token: grant.response.refresh_token ?? '',
      client_id: app.clientId,
      client_secret: app.clientSecret,
    })
    const [before, after] = [decodeJwt(grant.access), decodeJwt(next.access_token)]
    const moved = { iat: (before.iat ?? 0) + 120, exp: (before.exp ?? 0) + 120, jti: expect.any(String) }
    expect(after).toEqual({ ...before, ...moved })
    expect(after.jti).not.toBe(before.jti)
    expect(decodeJwt(next.id_token)).not.toHaveProperty('nonce')
  })

  test('an address is verified in a domain that the organisation has proved, and nowhere else', async () => {
    await services.organisations.addDomain(acme.ctx, { name: 'claimed.test', verified: false })
    const verifiedFor = async (email: string | null) =>
      decodeJwt((await signedIn({ fields: { email } })).idToken).email_verified
    expect(await verifiedFor('ada@acme.test')).toBe(true)
    expect(await verifiedFor('Ada@ACME.test')).toBe(true)
    expect(await verifiedFor('ada@claimed.test')).toBe(false)
    expect(await verifiedFor('ada@sub.acme.test')).toBe(false)
    expect(await verifiedFor('ada@acme.test.evil.test')).toBe(false)
    expect(await verifiedFor('acme.test')).toBe(false)
    expect(await verifiedFor(null)).toBeUndefined()
  })

  test('a domain of another organisation verifies nobody here', async () => {
    await tenant(services, db.ctx(), 'globex.test')
    const { idToken } = await signedIn({ fields: { email: 'ada@globex.test' } })
    expect(decodeJwt(idToken)).toMatchObject({ email: 'ada@globex.test', email_verified: false })
  })

  const audienceOf = async (id: string) => (await services.clients.byUuid(db.ctx(), id))?.audience

  const introspect = (token: string) => services.tokenIssuer.introspect(db.ctx(), token, audienceOf)

  const resigned = async (
    token: string,
    { claims = {}, header = {}, drop = [] }: { claims?: object; header?: object; drop?: string[] } = {},
  ) => {
    const { kid, privateKey } = await services.keys.current(db.ctx())
    const payload = { ...decodeJwt(token), ...claims }
    for (const name of drop) delete payload[name]
    return new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header })
      .sign(privateKey)
  }

  const unsigned = (token: string): string => {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
    return `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(decodeJwt(token))}.`
  }

  const withAnotherKey = async (token: string): Promise<string> => {
    const { privateKey } = await generateKeyPair('ES256')
    const header = decodeProtectedHeader(token)
    return new SignJWT(decodeJwt(token)).setProtectedHeader({ ...header, alg: 'ES256' }).sign(privateKey)
  }

  /** The public key, which everybody has, as the secret of an HMAC. */
  const withPublicKeyAsSecret = async (token: string): Promise<string> => {
    const [key] = (await services.keys.publicKeys(db.ctx())).keys
    const header = { alg: 'HS256', typ: 'at+jwt', kid: key?.kid ?? '' }
    return new SignJWT(decodeJwt(token))
      .setProtectedHeader(header)
      .sign(new TextEncoder().encode(JSON.stringify(key)))
  }

  const changed = (token: string): string => {
    const [header, , signature] = token.split('.')
    const claims = { ...decodeJwt(token), scope: 'everything' }
    return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
  }

  type Grant = Awaited<ReturnType<typeof signedIn>>

  const refused: [string, (grant: Grant) => string | Promise<string>][] = [
    ['an ID token', ({ idToken }) => idToken],
    ['a refresh token', ({ response }) => response.refresh_token ?? ''],
    ['no signature (alg none)', ({ access }) => unsigned(access)],
    ['a signature by another key', ({ access }) => withAnotherKey(access)],
    ['an HMAC with the public key', ({ access }) => withPublicKeyAsSecret(access)],
    ['a changed claim', ({ access }) => changed(access)],
    ['the type of an ID token', ({ access }) => resigned(access, { header: { typ: 'JWT' } })],
    ['an unknown key ID', ({ access }) => resigned(access, { header: { kid: 'unknown' } })],
    ['another issuer', ({ access }) => resigned(access, { claims: { iss: 'https://evil.test' } })],
    ['the audience of another client', ({ access }) => resigned(access, { claims: { aud: other.audience } })],
    ['two audiences', ({ access }) => resigned(access, { claims: { aud: [AUDIENCE, other.audience] } })],
    ['another client’s ID', ({ access }) => resigned(access, { claims: { client_id: other.clientId } })],
    ['no end', ({ access }) => resigned(access, { drop: ['exp'] })],
    ['no session', ({ access }) => resigned(access, { drop: ['sid'] })],
    ['no epoch', ({ access }) => resigned(access, { drop: ['epoch'] })],
    ['an older epoch', ({ access }) => resigned(access, { claims: { epoch: -1 } })],
    [
      'somebody else as its subject',
      async ({ access }) => {
        const { user } = await signedIn()
        return resigned(access, { claims: { sub: toId('usr', user.id) } })
      },
    ],
    [
      'another organisation',
      ({ access, session }) => resigned(access, { claims: { org_id: toId('org', session.id) } }),
    ],
  ]

  test.each(refused)('a token with %s is refused, and the honest one passes', async (_, forge) => {
    const grant = await signedIn()
    expect(await refusalCode(introspect(await forge(grant)))).toBe('invalid_token')
    expect((await introspect(await resigned(grant.access))).user.id).toBe(grant.user.id)
    expect((await introspect(grant.access)).sessionId).toBe(grant.session.id)
  })

  test('an access token lives five minutes', async () => {
    const { access, user } = await signedIn()
    clock.advance(299)
    expect((await introspect(access)).user.id).toBe(user.id)
    clock.advance(1)
    expect(await refusalCode(introspect(access))).toBe('invalid_token')
  })

  test('an access token is dead once its session has ended', async () => {
    const [leaving, staying] = [await signedIn(), await signedIn()]
    await inTx(acme.ctx, (tx) => services.endSessions.one(tx, leaving.session.id, 'signed_out'))
    expect(await refusalCode(introspect(leaving.access))).toBe('invalid_token')
    expect((await introspect(staying.access)).user.id).toBe(staying.user.id)
  })

  test('a raised epoch kills the tokens from before it, in a session that lives on', async () => {
    const { access, user } = await signedIn()
    await inTx(acme.ctx, (tx) => tx.db('users').where({ id: user.id }).increment('epoch', 1))
    expect(await refusalCode(introspect(access))).toBe('invalid_token')
    expect((await introspect(await resigned(access, { claims: { epoch: 1 } }))).user.epoch).toBe(1)
  })

  test('tokens from before a deactivation stay dead after the reactivation', async () => {
    const { access, user } = await signedIn()
    await services.users.setActive(acme.ctx, user.id, false)
    await services.users.setActive(acme.ctx, user.id, true)
    expect(await refusalCode(introspect(access))).toBe('invalid_token')
    expect(await refusalCode(introspect(await resigned(access, { claims: { epoch: 1 } })))).toBe(
      'invalid_token',
    )
  })

  test('a database that is away is not called a bad token', async () => {
    const { access, idToken } = await signedIn()
    const away = openDatabase({ url: 'postgres://nobody@127.0.0.1:9/none', size: 1 })
    const ctx = { ...db.ctx(), db: away }
    await expect(services.tokenIssuer.introspect(ctx, access, audienceOf)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    })
    await expect(services.tokenIssuer.sessionOfIdToken(ctx, idToken)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    })
    await away.destroy()
    expect((await introspect(access)).scope).toBe(OFFLINE)
  })

  test('an ID token names its session for a logout, even after it has expired; an access token does not', async () => {
    const { access, idToken, session, user } = await signedIn()
    clock.advance(86_400)
    expect(await services.tokenIssuer.sessionOfIdToken(db.ctx(), idToken)).toEqual({
      orgId: acme.ctx.orgId,
      sessionId: session.id,
      userId: user.id,
      clientId: app.id,
    })
    for (const token of [access, unsigned(idToken), await withAnotherKey(idToken), 'rubbish', '']) {
      expect(await services.tokenIssuer.sessionOfIdToken(db.ctx(), token)).toBeNull()
    }
  })

  test('any service verifies an access token with plain jose and the JWKS', async () => {
    const { access, idToken } = await signedIn()
    const keys = createLocalJWKSet(await services.keys.publicKeys(db.ctx()))
    const options = { issuer: BASE_URL, typ: 'at+jwt', algorithms: ['ES256'], currentDate: clock.now() }
    const verify = (token: string, audience: string) => jwtVerify(token, keys, { ...options, audience })
    expect((await verify(access, AUDIENCE)).payload.client_id).toBe(app.clientId)
    await expect(verify(access, other.audience)).rejects.toThrow('"aud"')
    await expect(verify(idToken, app.clientId)).rejects.toThrow('"typ"')
  })
})
