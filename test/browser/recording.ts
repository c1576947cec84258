import type { BrowserContext, Request } from 'playwright-core'
import { expect } from 'vitest'

/** One request of a browser, as it went over the wire. */
export type Visit = {
  url: string
  method: string
  status: number
  body: string
  referer: string | undefined
  cookie: string
  answer: Record<string, string>
}

const visitOf = async (request: Request): Promise<Visit> => {
  const [sent, response] = await Promise.all([request.allHeaders(), request.response()])
  return {
    url: request.url(),
    method: request.method(),
    status: response?.status() ?? 0,
    body: request.postData() ?? '',
    referer: sent.referer,
    cookie: sent.cookie ?? '',
    answer: (await response?.allHeaders()) ?? {},
  }
}

/** Writes down what the browser asks for, and what its pages complain of, from now on. */
export const record = (context: BrowserContext) => {
  const visits: Promise<Visit>[] = []
  const complaints: string[] = []
  context.on('requestfinished', (request) => visits.push(visitOf(request)))
  context.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
  context.on('weberror', (error) => complaints.push(String(error.error())))
  return {
    visits: () => Promise.all(visits),
    /** Everything in any console: refused by the policy, by the cookie rules, or just noisy. */
    complaints: (): readonly string[] => complaints,
  }
}

/** Addresses end up in histories, logs and screens: what opens anything must not be in one. */
export const expectNoSecretInAddresses = (visits: readonly Visit[], secrets: readonly string[]): void => {
  const addresses = visits.map(({ url }) => url).join('\n')
  expect(addresses).toContain('/oauth2/authorize?')
  for (const secret of secrets) expect(addresses).not.toContain(secret)
  expect(addresses).not.toMatch(/token|secret|SAMLResponse|csrf/i)
}

/** The handle of a waiting sign-in is in the broker's own addresses only, and nobody else is told those. */
export const expectHandleToStay = (visits: readonly Visit[], broker: string): void => {
  const [login] = visits.filter(({ url }) => url.startsWith(`${broker}/login?`))
  const handle = new URL(login?.url ?? broker).searchParams.get('request') ?? ''
  expect(handle).toMatch(/^[\w-]{43}$/)
  const elsewhere = visits.filter(({ url }) => !url.startsWith(broker))
  expect(elsewhere.length).toBeGreaterThan(0)
  for (const { url, referer = '' } of elsewhere) expect(`${url} ${referer}`).not.toContain(handle)
}
