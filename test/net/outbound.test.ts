import type { RequestListener } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppError } from '../../src/core/errors.ts'
import { createOutbound, type OutboundOptions, type Resolve } from '../../src/net/outbound.ts'
import { type LocalServer, plainServer, tlsServer } from './local-servers.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const outbound = (options: Partial<OutboundOptions> = {}) => {
  const made = createOutbound({ allowLoopback: true, ...options })
  closing.push(made.close)
  return made
}

const serving = async (listener: RequestListener): Promise<LocalServer & { url: string }> => {
  const server = await plainServer(listener)
  closing.push(server.close)
  return { ...server, url: `http://127.0.0.1:${server.port}` }
}

const answering = (...addresses: string[]): Resolve => {
  return async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
}

const codeOf = async (attempt: Promise<unknown>): Promise<string> => {
  const error = await attempt.then(
    () => null,
    (thrown: AppError) => thrown,
  )
  expect(error?.kind).toBe('upstream')
  return error?.code ?? 'nothing was thrown'
}

const hello: RequestListener = (_request, response) => {
  response.end('hello')
}

describe('an outbound call', () => {
  it('carries method, headers and body there, and status, headers and body back', async () => {
    const server = await serving((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { method, headers } = request
        const seen = {
          method,
          agent: headers['user-agent'],
          type: headers['content-type'],
          x: headers['x-a'],
        }
        response.writeHead(201, { 'content-type': 'application/json', 'x-b': 'two' })
        response.end(JSON.stringify({ ...seen, body: Buffer.concat(chunks).toString() }))
      })
    })
    const { fetch } = outbound({ userAgent: 'Portico/0.1' })
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { 'x-a': 'one', 'user-agent': 'a library' },
      body: new URLSearchParams({ code: 'a b' }),
    })
    expect(response).toBeInstanceOf(Response)
    expect(response.status).toBe(201)
    expect(response.headers.get('x-b')).toBe('two')
    expect(await response.json()).toEqual({
      method: 'POST',
      agent: 'Portico/0.1',
      type: 'application/x-www-form-urlencoded;charset=UTF-8',
      x: 'one',
      body: 'code=a+b',
    })
  })

  it('hands back an error status as it came', async () => {
    const server = await serving((_request, response) => {
      response.writeHead(404).end('gone')
    })
    const response = await outbound().fetch(server.url)
    expect([response.status, await response.text()]).toEqual([404, 'gone'])
  })

  it('hands back an answer without a body', async () => {
    const server = await serving((_request, response) => {
      response.writeHead(204).end()
    })
    expect((await outbound().fetch(server.url)).status).toBe(204)
  })

  it('reuses its connections', async () => {
    const server = await serving(hello)
    const { fetch } = outbound()
    for (let call = 0; call < 50; call += 1) await (await fetch(server.url)).text()
    // The next call can begin in the tick before the first socket is handed back, hence a second one.
    expect(server.connections()).toBeLessThanOrEqual(2)
  })

  it('says that nothing listens there', async () => {
    const server = await serving(hello)
    await server.close()
    expect(await codeOf(outbound().fetch(server.url))).toBe('outbound_failed')
  })

  it('says that a name does not resolve', async () => {
    const resolve: Resolve = async () => {
      throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
    }
    expect(await codeOf(outbound({ resolve }).fetch('https://idp.example/'))).toBe('outbound_failed')
  })

  it('keeps the path and the query out of what it says', async () => {
    const failed = outbound().fetch('http://127.0.0.1:1/metadata?token=hush-hush')
    const error: AppError = await failed.then(
      () => Promise.reject(new Error('passed')),
      (thrown) => thrown,
    )
    const said = JSON.stringify([error.message, error.detail, String(error.cause)])
    expect(said).not.toContain('hush-hush')
  })
})

describe('the scheme', () => {
  it('is https, in production even to loopback', async () => {
    const server = await serving(hello)
    expect(await codeOf(outbound({ allowLoopback: false }).fetch(server.url))).toBe('outbound_scheme_refused')
    expect(server.connections()).toBe(0)
  })

  it('may be http to loopback where the development switch is on', async () => {
    const server = await serving(hello)
    const { fetch } = outbound()
    expect(await (await fetch(server.url)).text()).toBe('hello')
    expect(await (await fetch(`http://localhost:${server.port}`)).text()).toBe('hello')
  })

  it('may not be http to any other name, even one that resolves to loopback', async () => {
    const server = await serving(hello)
    const { fetch } = outbound({ resolve: answering('127.0.0.1') })
    expect(await codeOf(fetch(`http://idp.example:${server.port}`))).toBe('outbound_scheme_refused')
    expect(server.connections()).toBe(0)
  })

  it.each(['ftp://idp.example/', 'file:///etc/hostname', 'data:text/plain,a', 'idp.example', ''])(
    'is not that of %j',
    async (url) => {
      expect(await codeOf(outbound().fetch(url))).toBe('outbound_scheme_refused')
    },
  )
})

describe('the address', () => {
  it.each([
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://10.0.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://168.63.129.16/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[fd00:ec2::254]/',
    'https://[fe80::1]/',
    'https://0.0.0.0/',
    'https://[::]/',
  ])('is refused as a literal: %s', async (url) => {
    expect(await codeOf(outbound({ allowLoopback: false }).fetch(url))).toBe('outbound_address_refused')
  })

  it.each(['http://[::ffff:127.0.0.1]/', 'http://0.0.0.0/', 'http://169.254.169.254/'])(
    'is no loopback in disguise, development switch or not: %s',
    async (url) => {
      expect(await codeOf(outbound().fetch(url))).toMatch(/^outbound_(scheme|address)_refused$/)
    },
  )

  it.each([['127.0.0.1'], ['10.1.2.3'], ['169.254.169.254'], ['::ffff:127.0.0.1'], ['fd12::1']])(
    'is refused after resolution: %s',
    async (address) => {
      const { fetch } = outbound({ allowLoopback: false, resolve: answering(address) })
      expect(await codeOf(fetch('https://idp.example/'))).toBe('outbound_address_refused')
    },
  )

  it('is refused when it stands among public ones, in any order', async () => {
    for (const mixture of [
      ['93.184.216.34', '10.0.0.1'],
      ['10.0.0.1', '93.184.216.34'],
    ]) {
      const { fetch } = outbound({ resolve: answering(...mixture) })
      expect(await codeOf(fetch('https://idp.example/'))).toBe('outbound_address_refused')
    }
  })

  it('is not a public one under the name localhost', async () => {
    const { fetch } = outbound({ resolve: answering('93.184.216.34') })
    expect(await codeOf(fetch('http://localhost/'))).toBe('outbound_address_refused')
  })

  it('is the one that was checked: a name that changes its answer is resolved once for each connection', async () => {
    const server = await serving((_request, response) => {
      response.writeHead(200, { connection: 'close' }).end('hello')
    })
    const answers = ['127.0.0.1', '169.254.169.254']
    let asked = 0
    const resolve: Resolve = async () => [{ address: answers[asked++] ?? '10.0.0.1', family: 4 }]
    const { fetch } = outbound({ resolve })
    const url = `http://rebinding.localhost:${server.port}/`
    expect(await (await fetch(url)).text()).toBe('hello')
    expect([asked, server.connections()]).toEqual([1, 1])
    expect(await codeOf(fetch(url))).toBe('outbound_address_refused')
    expect([asked, server.connections()]).toEqual([2, 1])
  })
})

describe('over TLS', () => {
  it('a name with a certificate that is vouched for is called', async () => {
    const server = await tlsServer('idp.example', hello)
    closing.push(server.close)
    const { fetch } = outbound({ ca: server.ca, resolve: answering('127.0.0.1') })
    expect(await (await fetch(`https://idp.example:${server.port}/`)).text()).toBe('hello')
  })

  it('the same name with the development switch off is not even connected to', async () => {
    const server = await tlsServer('idp.example', hello)
    closing.push(server.close)
    const { fetch } = outbound({ ca: server.ca, resolve: answering('127.0.0.1'), allowLoopback: false })
    expect(await codeOf(fetch(`https://idp.example:${server.port}/`))).toBe('outbound_address_refused')
    expect(server.connections()).toBe(0)
  })

  it('a certificate for another name, or one that nobody vouches for, is refused', async () => {
    const server = await tlsServer('idp.example', hello)
    closing.push(server.close)
    const resolve = answering('127.0.0.1')
    const otherName = `https://other.example:${server.port}/`
    expect(await codeOf(outbound({ ca: server.ca, resolve }).fetch(otherName))).toBe('outbound_failed')
    const sameName = `https://idp.example:${server.port}/`
    expect(await codeOf(outbound({ resolve }).fetch(sameName))).toBe('outbound_failed')
  })
})

describe('the answer', () => {
  it.each([301, 302, 303, 307, 308])('may not be a redirect: %i', async (status) => {
    const target = await serving(hello)
    const server = await serving((_request, response) => {
      response.writeHead(status, { location: target.url }).end()
    })
    expect(await codeOf(outbound().fetch(server.url))).toBe('outbound_redirect_refused')
    expect(target.connections()).toBe(0)
  })

  const megabytes = (count: number) => Buffer.alloc(count * 1024 * 1024, 'a')

  it('may have 256 KB and not a byte more', async () => {
    const server = await serving((request, response) => {
      response.end(Buffer.alloc(256 * 1024 + (request.url === '/more' ? 1 : 0), 'a'))
    })
    const { fetch } = outbound()
    expect((await (await fetch(server.url)).arrayBuffer()).byteLength).toBe(256 * 1024)
    expect(await codeOf(fetch(`${server.url}/more`))).toBe('outbound_too_large')
  })

  it('of 10 MB is refused', async () => {
    const server = await serving((_request, response) => {
      response.end(megabytes(10))
    })
    expect(await codeOf(outbound().fetch(server.url))).toBe('outbound_too_large')
  })

  it('without an end is hung up on', async () => {
    let hungUp: () => void = () => undefined
    const closed = new Promise<void>((resolve) => {
      hungUp = resolve
    })
    const server = await serving((_request, response) => {
      const piece = Buffer.alloc(64 * 1024, 'a')
      const more = () => {
        while (!response.destroyed && response.write(piece));
      }
      response.on('drain', more).on('close', hungUp)
      more()
    })
    expect(await codeOf(outbound().fetch(server.url))).toBe('outbound_too_large')
    await closed
  })

  it('is measured after decompression', async () => {
    const server = await serving((request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      response.end(gzipSync(request.url === '/bomb' ? megabytes(10) : Buffer.from('hello')))
    })
    const { fetch } = outbound()
    expect(await (await fetch(server.url)).text()).toBe('hello')
    expect(await codeOf(fetch(`${server.url}/bomb`))).toBe('outbound_too_large')
  })

  it.each([
    ['headers never come', false],
    ['the body never ends', true],
  ])('is not waited for when %s', async (_what, sendsHeaders) => {
    const server = await serving((_request, response) => {
      if (sendsHeaders) response.writeHead(200).write('a')
    })
    const { fetch } = outbound({ limits: { totalMs: 200 } })
    const started = Date.now()
    expect(await codeOf(fetch(server.url))).toBe('outbound_timeout')
    expect(Date.now() - started).toBeLessThan(2_000)
  })

  it('may not trickle in past the total, though each piece comes in time', async () => {
    const server = await serving((_request, response) => {
      const timer = setInterval(() => response.write('a'), 20)
      response.on('close', () => clearInterval(timer))
    })
    const { fetch } = outbound({ limits: { totalMs: 300 } })
    expect(await codeOf(fetch(server.url))).toBe('outbound_timeout')
  })

  it('is not waited for when the name never resolves', async () => {
    const { fetch } = outbound({ resolve: () => new Promise(() => undefined), limits: { connectMs: 100 } })
    expect(await codeOf(fetch('https://idp.example/'))).toBe('outbound_timeout')
  })

  it('is not waited for after the caller has given up', async () => {
    const server = await serving(() => undefined)
    const { fetch } = outbound()
    expect(await codeOf(fetch(server.url, { signal: AbortSignal.timeout(100) }))).toBe('outbound_timeout')
    expect(await codeOf(fetch(server.url, { signal: AbortSignal.abort() }))).toBe('outbound_failed')
  })
})
