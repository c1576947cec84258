/** Just enough of a browser and of an app: kept-alive connections, no redirects followed, cookies by name. */
import { createHash, randomBytes } from 'node:crypto'
import { type Dispatcher, Pool } from 'undici'

export type Cookies = ReadonlyMap<string, string>

type Answer = {
  status: number
  location: string | undefined
  cookies: Cookies
  json: Record<string, unknown>
}

type Sent = { cookies?: Cookies; form?: Record<string, string> }

const cookiesOf = (header: string | string[] | undefined): Cookies =>
  new Map(
    [header ?? []].flat().map((line) => {
      const pair = line.split(';', 1)[0] as string
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)] as const
    }),
  )

const readBody = async (body: Dispatcher.ResponseData['body'], type: unknown) => {
  if (String(type).includes('json')) return (await body.json()) as Record<string, unknown>
  await body.dump()
  return {}
}

export const openHttp = (origin: string, connections: number) => {
  const pool = new Pool(origin, { connections, pipelining: 1, keepAliveTimeout: 60_000 })

  const send = async (
    method: 'GET' | 'POST',
    path: string,
    { cookies, form }: Sent = {},
  ): Promise<Answer> => {
    const answer = await pool.request({
      method,
      path,
      headers: {
        ...(cookies && { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }),
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(form && { body: new URLSearchParams(form).toString() }),
    })
    const { location } = answer.headers
    return {
      status: answer.statusCode,
      location: typeof location === 'string' ? location : undefined,
      cookies: cookiesOf(answer.headers['set-cookie']),
      json: await readBody(answer.body, answer.headers['content-type']),
    }
  }

  return {
    get: (path: string, cookies?: Cookies) => send('GET', path, cookies && { cookies }),
    post: (path: string, form: Record<string, string>, cookies?: Cookies) =>
      send('POST', path, { form, ...(cookies && { cookies }) }),
    close: () => pool.close(),
  }
}

/** The code in a redirect to the app. @throws where the redirect leads anywhere else */
export const demandCode = (
  { status, location }: { status?: number; location: string | undefined },
  redirectUri: string,
): string => {
  const code = location?.startsWith(`${redirectUri}?`) ? new URL(location).searchParams.get('code') : null
  if (!code)
    throw new Error(
      `no code came back, but ${status ?? 'a redirect'} to ${location?.slice(0, 300) ?? 'nowhere'}`,
    )
  return code
}

export const demandText = (answer: Answer, name: string): string => {
  const value = answer.json[name]
  if (typeof value !== 'string') {
    throw new Error(`no ${name} came back, but ${answer.status} ${JSON.stringify(answer.json).slice(0, 300)}`)
  }
  return value
}

/** RFC 7636, S256. */
export const newPkce = (): { verifier: string; challenge: string } => {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}
