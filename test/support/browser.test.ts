import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, BrowserContext } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectAccessible, launchBrowser } from './browser.ts'
import { createAuthority, type TlsTerminator, terminateTls } from './tls.ts'

const page = (body: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title></head><body><main><h1>A page</h1>${body}</main></body></html>`

const PAGES: Readonly<Record<string, string>> = {
  '/good': page(
    '<form action="/echo"><label for="name">Name</label><input id="name" name="name"><button>Go</button></form>',
  ),
  '/bad': page('<form action="/echo"><input name="name"><button>Go</button></form>'),
}

/** Serves the pages, and says at /echo what it was asked. */
const startServer = async (): Promise<{ server: Server; origin: string }> => {
  const server = createServer((request, response) => {
    const known = PAGES[request.url ?? '']
    response.setHeader('content-type', known ? 'text/html' : 'application/json')
    response.setHeader('set-cookie', '__Host-seen=yes; Path=/; Secure; HttpOnly; SameSite=Lax')
    response.end(known ?? JSON.stringify({ url: request.url, headers: request.headers }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, origin: `http://localhost:${(server.address() as AddressInfo).port}` }
}

const closing: (() => unknown)[] = []
let origin: string
let browser: Browser
let context: BrowserContext

beforeAll(async () => {
  const started = await startServer()
  origin = started.origin
  closing.push(
    () => started.server.close(),
    () => started.server.closeAllConnections(),
  )
  browser = await launchBrowser()
  closing.push(() => browser.close())
  context = await browser.newContext()
})

afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

describe('the browser', () => {
  test('a person types by keyboard and submits with Enter', async () => {
    const tab = await context.newPage()
    await tab.goto(`${origin}/good`)
    await tab.keyboard.press('Tab')
    await tab.keyboard.type('Ada Lovelace')
    await tab.keyboard.press('Enter')
    await tab.waitForURL('**/echo?*')
    expect(new URL(tab.url()).searchParams.get('name')).toBe('Ada Lovelace')
  })

  test('keeps web security on: a page cannot read another origin', async () => {
    const tab = await context.newPage()
    await tab.goto(`${origin}/good`)
    const other = origin.replace('localhost', '127.0.0.1')
    const read = (from: string) =>
      tab.evaluate(
        (url) =>
          fetch(url).then(
            () => 'read',
            () => 'refused',
          ),
        `${from}/echo`,
      )
    expect(await read(origin)).toBe('read')
    expect(await read(other)).toBe('refused')
  })

  test('knows no host outside of this machine', async () => {
    const tab = await context.newPage()
    await expect(tab.goto('http://portico.example/')).rejects.toThrow('ERR_NAME_NOT_RESOLVED')
  })
})

describe('accessibility', () => {
  test('a page with its labels passes', async () => {
    const tab = await context.newPage()
    await tab.goto(`${origin}/good`)
    await expectAccessible(tab)
  })

  test('a field without a label fails, and the report names it', async () => {
    const tab = await context.newPage()
    await tab.goto(`${origin}/bad`)
    await expect(expectAccessible(tab)).rejects.toThrow('<input name="name">')
  })
})

describe('TLS in front of a plain server', () => {
  let broker: TlsTerminator
  let idp: TlsTerminator
  let spki: string

  beforeAll(async () => {
    const authority = await createAuthority()
    spki = authority.spki
    const certificate = await authority.issue('broker.portico.test', 'idp.example.test')
    broker = await terminateTls({ host: 'broker.portico.test', certificate, target: () => origin })
    idp = await terminateTls({ host: 'idp.example.test', certificate, target: origin })
    closing.push(broker.close, idp.close)
  })

  test('the browser reaches both hosts, and Secure cookies stay with their own', async () => {
    const trusting = await launchBrowser({ args: [`--ignore-certificate-errors-spki-list=${spki}`] })
    closing.push(() => trusting.close())
    const session = await trusting.newContext({ extraHTTPHeaders: { 'x-forwarded-for': '203.0.113.9' } })
    const tab = await session.newPage()

    await tab.goto(`${broker.url}/echo`)
    await tab.goto(`${broker.url}/echo`)
    const { headers } = JSON.parse((await tab.textContent('body')) ?? '')
    expect(headers).toMatchObject({
      host: `broker.portico.test:${broker.port}`,
      'x-forwarded-proto': 'https',
      'x-forwarded-host': `broker.portico.test:${broker.port}`,
      'x-forwarded-for': '127.0.0.1',
      cookie: '__Host-seen=yes',
    })

    await tab.goto(`${idp.url}/echo`)
    expect(JSON.parse((await tab.textContent('body')) ?? '').headers.cookie).toBeUndefined()
  })

  test('a browser that was not told of the authority refuses the certificate', async () => {
    const tab = await context.newPage()
    await expect(tab.goto(`${broker.url}/echo`)).rejects.toThrow('ERR_CERT_AUTHORITY_INVALID')
  })
})
