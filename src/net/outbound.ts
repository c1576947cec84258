/**
 * Every HTTP request that the broker makes goes out here: to issuers, JWKS, token endpoints, metadata hosts. Owns no
 * table. Invariants: https only; a socket is opened only to an address that was itself checked, after resolution, so
 * a name that changes its answer between check and use gains nothing; no redirect is followed; a whole response is
 * at hand within its byte and time limits or the call fails. The addresses an admin types are an attacker's in a
 * multi-tenant broker, which is why none of this is optional.
 */
import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Agent, type RequestInit as UndiciInit, fetch as undiciFetch } from 'undici'
import { AppError } from '../core/errors.ts'
import { literalAddress, rangeOf } from './addresses.ts'

/** As `fetch`, but refuses what this file's opening lists, and the body of the answer has already arrived. */
type OutboundFetch = (url: string | URL, init?: RequestInit) => Promise<Response>

export type OutboundCode =
  | 'outbound_address_refused'
  | 'outbound_scheme_refused'
  | 'outbound_redirect_refused'
  | 'outbound_too_large'
  | 'outbound_timeout'
  | 'outbound_failed'

export type Outbound = {
  /** @throws AppError `upstream` with an `OutboundCode` */
  fetch: OutboundFetch
  /** Ends idle connections and waits for those in use. */
  close: () => Promise<void>
}

/** Resolves a name to all of its addresses. */
export type Resolve = (hostname: string) => Promise<readonly { address: string; family: 4 | 6 }[]>

/** Milliseconds and bytes. */
type Limits = { connectMs: number; totalMs: number; bytes: number }

export type OutboundOptions = {
  /** The development switch: loopback addresses, and http to them. Refused in production by the configuration. */
  allowLoopback: boolean
  userAgent?: string
  /** How names are resolved; the system's resolver unless told. */
  resolve?: Resolve
  /** PEM; certificate authorities trusted in place of the public ones. */
  ca?: string
  limits?: Partial<Limits>
}

const LIMITS: Limits = { connectMs: 5_000, totalMs: 10_000, bytes: 256 * 1024 }

const SENTENCES: Record<OutboundCode, string> = {
  outbound_address_refused: 'The address is not a public one, so it is not called.',
  outbound_scheme_refused: 'Only https addresses are called.',
  outbound_redirect_refused: 'The other side answered with a redirect, which is not followed.',
  outbound_too_large: 'The answer of the other side is too large.',
  outbound_timeout: 'The other side did not answer in time.',
  outbound_failed: 'The other side could not be reached.',
}

/** `detail` names the host and never the path or the query: metadata addresses can carry a secret there. */
const failure = (code: OutboundCode, detail: Record<string, unknown>, cause?: unknown): AppError =>
  new AppError('upstream', code, SENTENCES[code], { detail, cause })

const TIMEOUTS = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])

/** undici wraps what happened at the socket in a TypeError; the first cause that says something is the answer. */
const asFailure = (error: unknown, host: string): AppError => {
  for (let at = error, depth = 0; at instanceof Error && depth < 6; at = at.cause, depth += 1) {
    if (at instanceof AppError) return at
    const code = 'code' in at && typeof at.code === 'string' ? at.code : at.name
    if (TIMEOUTS.has(code) || code === 'TimeoutError') return failure('outbound_timeout', { host }, error)
  }
  return failure('outbound_failed', { host }, error)
}

const isLocalhost = (hostname: string): boolean => /^(.+\.)?localhost\.?$/i.test(hostname)

const resolveBySystem: Resolve = (hostname) =>
  new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true, verbatim: true }, (error, found) => {
      if (error) reject(error)
      else resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })))
    })
  })

/** Which addresses and schemes may be called at all. A proxy or an allow-list of on-premise hosts belongs here. */
const createPolicy = (allowLoopback: boolean) => {
  const checkAddress = (hostname: string, address: string): void => {
    const range = rangeOf(address)
    if (allowLoopback && range === 'loopback') return
    // `localhost` may be spoken to in plain http, so it must not lead anywhere else.
    if (range === 'public' && !isLocalhost(hostname)) return
    throw failure('outbound_address_refused', { host: hostname, address, range })
  }

  const checkUrl = (url: URL): void => {
    const literal = literalAddress(url.hostname)
    const isLoopback = literal === null ? isLocalhost(url.hostname) : rangeOf(literal) === 'loopback'
    const plainAllowed = url.protocol === 'http:' && allowLoopback && isLoopback
    if (url.protocol !== 'https:' && !plainAllowed) {
      throw failure('outbound_scheme_refused', { host: url.hostname, scheme: url.protocol })
    }
    // An address in the URL never reaches the resolver, so it is checked here or nowhere.
    if (literal !== null) checkAddress(url.hostname, literal)
  }

  return { checkAddress, checkUrl }
}

/**
 * What the socket connects to is what was checked: one resolution, used for both. A name with one refused address
 * among good ones is refused whole, since that mixture is how rebinding looks and no honest IdP has it.
 */
const checkedLookup =
  (resolve: Resolve, checkAddress: (hostname: string, address: string) => void): LookupFunction =>
  (hostname, options, callback) => {
    const answer = async () => {
      const found = await resolve(hostname)
      for (const { address } of found) checkAddress(hostname, address)
      const wanted = found.filter(({ family }) => !options.family || family === Number(options.family))
      const [first] = wanted
      if (!first) throw failure('outbound_failed', { host: hostname, fault: 'no address' })
      return { first, wanted }
    }
    answer().then(
      ({ first, wanted }) => {
        if (options.all) callback(null, [...wanted])
        else callback(null, first.address, first.family)
      },
      (error: Error) => callback(error, ''),
    )
  }

type Body = AsyncIterable<Uint8Array>

/** Counted after decompression, so that a small compressed answer cannot become a large one. */
const readCapped = async (body: Body, bytes: number, host: string): Promise<Buffer> => {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of body) {
    total += chunk.byteLength
    // Leaving the loop cancels the stream, which ends the connection.
    if (total > bytes) throw failure('outbound_too_large', { host, limit: bytes })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Aborts when the time is up, or with the caller's own signal. */
const createDeadline = (ms: number, host: string, outer: AbortSignal | null | undefined) => {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(failure('outbound_timeout', { host })), ms)
  const follow = () => controller.abort(outer?.reason)
  if (outer?.aborted) follow()
  outer?.addEventListener('abort', follow, { once: true })
  const end = () => {
    clearTimeout(timer)
    outer?.removeEventListener('abort', follow)
  }
  return { signal: controller.signal, end }
}

const BODILESS = new Set([204, 205, 304])

/** One per process: connections are reused. */
export const createOutbound = (options: OutboundOptions): Outbound => {
  const limits = { ...LIMITS, ...options.limits }
  const userAgent = options.userAgent ?? 'Portico'
  const { checkAddress, checkUrl } = createPolicy(options.allowLoopback)
  const agent = new Agent({
    connect: {
      timeout: limits.connectMs,
      lookup: checkedLookup(options.resolve ?? resolveBySystem, checkAddress),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    },
    headersTimeout: limits.totalMs,
    bodyTimeout: limits.totalMs,
    connections: 64,
  })

  const send = async (url: URL, init: RequestInit, signal: AbortSignal): Promise<Response> => {
    const headers = Object.fromEntries(new Headers(init.headers))
    const response = await undiciFetch(url, {
      method: init.method ?? 'GET',
      // Who calls is said once, here, whatever library stands between.
      headers: { ...headers, 'user-agent': userAgent },
      // The two declarations of fetch (Node's and undici's) describe the same bodies in different words.
      body: (init.body ?? null) as NonNullable<UndiciInit['body']> | null,
      redirect: 'manual',
      signal,
      dispatcher: agent,
    })
    const { status } = response
    if (status >= 300 && status < 400) {
      await response.body?.cancel()
      throw failure('outbound_redirect_refused', { host: url.hostname, status })
    }
    const body = response.body ? await readCapped(response.body, limits.bytes, url.hostname) : null
    return new Response(BODILESS.has(status) ? null : new Uint8Array(body ?? []), {
      status,
      statusText: response.statusText,
      headers: [...response.headers],
    })
  }

  const outboundFetch: OutboundFetch = async (input, init = {}) => {
    const url = parseUrl(input)
    checkUrl(url)
    const deadline = createDeadline(limits.totalMs, url.hostname, init.signal)
    try {
      return await send(url, init, deadline.signal)
    } catch (error) {
      throw asFailure(error, url.hostname)
    } finally {
      deadline.end()
    }
  }

  return { fetch: outboundFetch, close: () => agent.close() }
}

const parseUrl = (input: string | URL): URL => {
  try {
    return new URL(input)
  } catch {
    throw failure('outbound_scheme_refused', { fault: 'not a URL' })
  }
}
