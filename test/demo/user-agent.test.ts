import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCookieJar } from '../../src/demo/cookie-jar.ts'
import { parseForms } from '../../src/demo/html-forms.ts'
import { createUserAgent } from '../../src/demo/user-agent.ts'

describe('the cookie jar', () => {
  const local = new URL('http://localhost:3000/login')
  const plain = new URL('http://broker.test/login')
  const secure = new URL('https://broker.test/login')

  test('sends a cookie back to its host, whatever the port, and to no other host', () => {
    const jar = createCookieJar()
    jar.store(local, ['one=1; Path=/; HttpOnly'])
    expect(jar.header(new URL('http://localhost:4000/'))).toBe('one=1')
    expect(jar.header(new URL('http://127.0.0.1:3000/'))).toBeUndefined()
    expect(jar.header(new URL('http://sub.localhost/'))).toBeUndefined()
  })

  test('sends a Secure cookie over https and to localhost only', () => {
    const jar = createCookieJar()
    jar.store(secure, ['one=1; Path=/; Secure'])
    jar.store(local, ['two=2; Path=/; Secure'])
    expect(jar.header(secure)).toBe('one=1')
    expect(jar.header(plain)).toBeUndefined()
    expect(jar.header(local)).toBe('two=2')
  })

  test('keeps no Secure cookie of a plain host', () => {
    const jar = createCookieJar()
    jar.store(plain, ['one=1; Secure', 'two=2'])
    expect(jar.list(plain).map(({ name }) => name)).toEqual(['two'])
    expect(jar.list(secure).map(({ name }) => name)).toEqual(['two'])
  })

  test('keeps a __Host- cookie only with Secure, the root path and no Domain', () => {
    const jar = createCookieJar()
    jar.store(secure, [
      '__Host-good=1; Path=/; Secure',
      '__Host-plain=1; Path=/',
      '__Host-path=1; Path=/login; Secure',
      '__Host-domain=1; Path=/; Secure; Domain=broker.test',
      '__Secure-good=1; Path=/login; Secure',
      '__Secure-plain=1; Path=/login',
      'none=1; SameSite=None',
    ])
    expect(
      jar
        .list(secure)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['__Host-good', '__Secure-good'])
  })

  test('takes a Domain of its own only, and then serves the hosts below it', () => {
    const jar = createCookieJar()
    jar.store(secure, ['wide=1; Domain=.broker.test; Path=/', 'foreign=1; Domain=roker.test; Path=/'])
    expect(jar.header(new URL('https://eu.broker.test/'))).toBe('wide=1')
    expect(jar.header(new URL('https://roker.test/'))).toBeUndefined()
  })

  test('matches paths by segments, longest first', () => {
    const jar = createCookieJar()
    jar.store(local, ['root=1; Path=/', 'deep=2; Path=/saml/con_1', 'default=3'])
    expect(jar.header(new URL('http://localhost/saml/con_1/acs'))).toBe('deep=2; root=1; default=3')
    expect(jar.header(new URL('http://localhost/saml/con_12/acs'))).toBe('root=1; default=3')
  })

  test('forgets a cookie when its time is over, and when the server deletes it', () => {
    let now = Date.UTC(2026, 0, 1)
    const jar = createCookieJar({ now: () => now })
    jar.store(local, ['short=1; Path=/; Max-Age=60', 'gone=1; Path=/', 'old=1; Path=/'])
    jar.store(local, ['gone=; Path=/; Max-Age=0', 'old=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'])
    now += 59_000
    expect(jar.header(local)).toBe('short=1')
    now += 1_000
    expect(jar.header(local)).toBeUndefined()
  })

  test('lets Max-Age win over Expires', () => {
    const jar = createCookieJar()
    jar.store(local, ['one=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT'])
    expect(jar.header(local)).toBe('one=1')
  })
})

describe('the form reader', () => {
  const base = 'https://broker.test/login?flow=1'

  test('reads action, method, fields and buttons as a browser would submit them', () => {
    const [form] = parseForms(
      `<form METHOD="Post" action='/acs?a=1&amp;b=2'>
        <input type=hidden name=plain value=bare><input type="hidden" name="quoted" value="&lt;&quot;&#39;&#x3E;&gt; &amp;amp;">
        <input name="email" value="ada@acme.test"/><input type="checkbox" name="no" value="1"><input type="checkbox" name="yes" checked>
        <select name="org"><option value="a">A</option><option value="b" selected>B</option></select>
        <select name="first"><option value="x"><option value="y"></select>
        <textarea name="note">a &lt; b</textarea><input name="off" value="1" disabled><input type="submit" name="go" value="Go">
        <button name="person" value="usr&amp;1">Ada</button><button type="button" name="nothing">No</button>
      </form>`,
      base,
    )
    expect(form).toEqual({
      action: 'https://broker.test/acs?a=1&b=2',
      method: 'POST',
      fields: {
        plain: 'bare',
        quoted: `<"'>> &amp;`,
        email: 'ada@acme.test',
        yes: 'on',
        org: 'b',
        first: 'x',
        note: 'a < b',
      },
      buttons: [
        { name: 'go', value: 'Go' },
        { name: 'person', value: 'usr&1' },
      ],
    })
  })

  test('submits to the page itself where a form names no action', () => {
    expect(parseForms('<form><input name=a></form>', base)).toMatchObject([{ action: base, method: 'GET' }])
  })

  test('is not misled by comments, scripts, quoted brackets and stray fields', () => {
    const forms = parseForms(
      `<input name="outside" value="1"><!-- <form action="/comment"> -->
       <script>document.write('<form action="/script">')</script>
       <form action="/one"><input name="a" value="1 > 0"></form><input name="between" value="1">
       <form action="/two"><form action="/nested"><input name="b" value="2"></form>`,
      base,
    )
    expect(forms.map(({ action, fields }) => [new URL(action).pathname, { ...fields }])).toEqual([
      ['/one', { a: '1 > 0' }],
      ['/two', { b: '2' }],
    ])
  })
})

describe('the user agent', () => {
  const closing: (() => unknown)[] = []
  let origin: string

  const routes: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>> = {
    '/start': (_, response) => {
      response.writeHead(302, { location: '/middle', 'set-cookie': ['a=1; Path=/', 'b=2; Path=/'] }).end()
    },
    '/middle': (_, response) => {
      response.writeHead(303, { location: 'end?x=1', 'set-cookie': 'a=; Path=/; Max-Age=0' }).end()
    },
    '/form': (_, response) => {
      response.end(
        `<form action="/search"><input name="q" value="1"></form>
         <form method="post" action="/see-other"><input type="hidden" name="token" value="t"><button name="person" value="ada">Ada</button></form>`,
      )
    },
    '/see-other': (_, response) => response.writeHead(303, { location: '/echo' }).end(),
    '/keep': (_, response) => response.writeHead(307, { location: '/echo' }).end(),
    '/loop': (_, response) => response.writeHead(302, { location: '/loop' }).end(),
  }

  beforeAll(async () => {
    const server = createServer(async (request, response) => {
      const route = routes[request.url?.split('?')[0] ?? '']
      if (route) return route(request, response)
      let body = ''
      for await (const chunk of request) body += chunk
      const { method, url, headers } = request
      response.end(JSON.stringify({ method, url, headers, body }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://localhost:${(server.address() as AddressInfo).port}`
    closing.push(() => server.close())
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const agent = () => {
    const created = createUserAgent()
    closing.push(created.close)
    return created
  }

  test('follows redirects with the cookies it was given on the way', async () => {
    const page = await agent().get(`${origin}/start`)
    expect(page.url).toBe(`${origin}/end?x=1`)
    expect(page.hops.map(({ method, status }) => `${method} ${status}`)).toEqual([
      'GET 302',
      'GET 303',
      'GET 200',
    ])
    expect(page.json()).toMatchObject({ headers: { cookie: 'b=2' } })
  })

  test('stops before a redirect where it is told to', async () => {
    const browser = agent()
    expect(await browser.get(`${origin}/start`, { follow: false })).toMatchObject({
      status: 302,
      headers: { location: '/middle' },
    })
    const page = await browser.get(`${origin}/start`, { follow: (next) => next.pathname !== '/end' })
    expect(page).toMatchObject({ status: 303, url: `${origin}/middle` })
  })

  test('fills in the form that has the field, and names the page it came from', async () => {
    const browser = agent()
    const page = await browser.get(`${origin}/form`)
    const sent = await browser.submit(page.form('person'), { person: 'ada' }, { follow: false })
    expect(sent.hops).toMatchObject([{ method: 'POST', url: `${origin}/see-other`, status: 303 }])
    const echoed = await browser.postForm('/echo', { ...page.form('token').fields, person: 'ada & bob' })
    expect(echoed.json()).toMatchObject({
      method: 'POST',
      headers: { origin, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'token=t&person=ada+%26+bob',
    })
  })

  test('puts the fields of a GET form into the address', async () => {
    const browser = agent()
    const page = await browser.get(`${origin}/form`)
    expect((await browser.submit(page.form('q'), { q: 'two words' })).url).toBe(
      `${origin}/search?q=two+words`,
    )
  })

  test('asks anew with GET after 303, and posts again after 307', async () => {
    const browser = agent()
    expect((await browser.postForm(`${origin}/see-other`, { a: '1' })).json()).toMatchObject({
      method: 'GET',
      body: '',
    })
    expect((await browser.postForm(`${origin}/keep`, { a: '1' })).json()).toMatchObject({
      method: 'POST',
      body: 'a=1',
    })
  })

  test('says which page lacks a form, without the query of its address', async () => {
    const page = await agent().get(`${origin}/form?code=secret`)
    expect(() => page.form('password')).toThrow(`The page at ${origin}/form has no form with password.`)
  })

  test('gives up on redirects without end', async () => {
    await expect(agent().get(`${origin}/loop`)).rejects.toMatchObject({ code: 'too_many_redirects' })
  })
})
