import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Router from '@koa/router'
import Koa from 'koa'
import { afterEach, expect, test } from 'vitest'
import { securityText } from '../../src/http/security-text.ts'

const closings: (() => void)[] = []
afterEach(() => {
  for (const close of closings.splice(0)) close()
})

const ask = async (contact: string | undefined): Promise<Response> => {
  const router = new Router()
  securityText({
    contact,
    baseUrl: 'https://login.example.com',
    clock: { now: () => new Date('2026-03-01T12:34:56Z') },
  })(router)
  const app = new Koa()
  app.silent = true
  const server = createServer(app.use(router.routes()).callback()).listen(0, '127.0.0.1')
  closings.push(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  return fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/security.txt`)
}

test('security.txt names the contact and a date within half a year, as RFC 9116 has it', async () => {
  const answer = await ask('mailto:security@example.com')
  expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(await answer.text()).toBe(
    'Contact: mailto:security@example.com\nExpires: 2026-08-28T00:00:00Z\nPreferred-Languages: en\nCanonical: https://login.example.com/.well-known/security.txt\n',
  )
})

test('without a contact there is no security.txt', async () => {
  expect((await ask(undefined)).ok).toBe(false)
})
