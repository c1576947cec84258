/**
 * A browser without a window: cookies, redirects and forms over plain HTTP, so that a script can play the employee.
 * It runs no scripts; pages that work for it work without JavaScript. SameSite and CSP are a real browser's business.
 */
import { Agent, type Dispatcher, request } from 'undici'
import { AppError } from '../core/errors.ts'
import { type Cookie, createCookieJar } from './cookie-jar.ts'
import { type HtmlForm, parseForms } from './html-forms.ts'

/** One request of a chain of redirects. */
export type Hop = { method: string; url: string; status: number }

export type Page = {
  status: number
  /** Where the redirects ended. */
  url: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  text: string
  hops: readonly Hop[]
  /** The body as JSON. @throws SyntaxError */
  json: () => unknown
  forms: () => HtmlForm[]
  /**
   * The first form, or the first one that has a field or a button of this name.
   * @throws AppError `upstream`: the page has no such form
   */
  form: (name?: string) => HtmlForm
}

export type RequestOptions = {
  headers?: Readonly<Record<string, string>>
  /** False, or a test of where the next redirect leads: the redirect itself is returned instead of followed. */
  follow?: boolean | ((next: URL) => boolean)
}

export type UserAgent = {
  /** A relative address counts from the current page. */
  get: (url: string, options?: RequestOptions) => Promise<Page>
  postForm: (url: string, fields: Readonly<Record<string, string>>, options?: RequestOptions) => Promise<Page>
  /** Submits a form found by `page.form()`, with these fields filled in or this button pressed. */
  submit: (
    form: HtmlForm,
    fields?: Readonly<Record<string, string>>,
    options?: RequestOptions,
  ) => Promise<Page>
  /** The cookies that a request to `url` would carry. */
  cookies: (url: string) => Cookie[]
  close: () => Promise<void>
}

type Outgoing = { method: string; url: URL; body: string | undefined; headers: Record<string, string> }

const MAX_HOPS = 20
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const ACCEPT = 'text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8'

const asList = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value]

/** After 307 and 308 a request stays what it was; after the others a browser asks anew with GET. */
const redirected = (outgoing: Outgoing, status: number, to: URL): Outgoing =>
  status === 307 || status === 308
    ? { ...outgoing, url: to }
    : { method: 'GET', url: to, body: undefined, headers: outgoing.headers }

const pageOf = (
  outgoing: Outgoing,
  response: Dispatcher.ResponseData,
  text: string,
  hops: readonly Hop[],
): Page => {
  const url = outgoing.url.href
  const forms = (): HtmlForm[] => parseForms(text, url)
  return {
    status: response.statusCode,
    url,
    headers: response.headers,
    text,
    hops,
    json: () => JSON.parse(text),
    forms,
    form: (name) => {
      const found = forms().find(
        ({ fields, buttons }) =>
          name === undefined || name in fields || buttons.some((button) => button.name === name),
      )
      if (found) return found
      const what = name === undefined ? 'no form' : `no form with ${name}`
      const { origin, pathname } = outgoing.url
      // Only the path: the query of a sign-in address can hold a code.
      throw new AppError('upstream', 'form_missing', `The page at ${origin}${pathname} has ${what}.`, {
        detail: { status: response.statusCode },
      })
    },
  }
}

/** @param dispatcher how to connect, where the default does not do (a private CA, say); closed by its owner */
export const createUserAgent = ({ dispatcher }: { dispatcher?: Dispatcher } = {}): UserAgent => {
  const jar = createCookieJar()
  // No kept-alive sockets: a server that is asked to close must not wait for a script.
  const own = new Agent({ pipelining: 0 })
  let current: URL | undefined

  const send = async (outgoing: Outgoing): Promise<{ response: Dispatcher.ResponseData; text: string }> => {
    const cookie = jar.header(outgoing.url)
    const response = await request(outgoing.url, {
      dispatcher: dispatcher ?? own,
      method: outgoing.method as Dispatcher.HttpMethod,
      headers: { accept: ACCEPT, ...outgoing.headers, ...(cookie === undefined ? {} : { cookie }) },
      body: outgoing.body ?? null,
      headersTimeout: 30_000,
      bodyTimeout: 30_000,
    })
    jar.store(outgoing.url, asList(response.headers['set-cookie']))
    return { response, text: await response.body.text() }
  }

  const visit = async (first: Outgoing, follow: RequestOptions['follow'] = true): Promise<Page> => {
    const hops: Hop[] = []
    let outgoing = first
    while (hops.length < MAX_HOPS) {
      const { response, text } = await send(outgoing)
      hops.push({ method: outgoing.method, url: outgoing.url.href, status: response.statusCode })
      const [location] = asList(response.headers.location)
      const next =
        REDIRECTS.has(response.statusCode) && location ? new URL(location, outgoing.url) : undefined
      if (!next || follow === false || (typeof follow === 'function' && !follow(next))) {
        current = outgoing.url
        return pageOf(outgoing, response, text, hops)
      }
      outgoing = redirected(outgoing, response.statusCode, next)
    }
    throw new AppError('upstream', 'too_many_redirects', `${first.url.origin} redirects without end.`)
  }

  const get: UserAgent['get'] = (url, { headers = {}, follow } = {}) =>
    visit({ method: 'GET', url: new URL(url, current), body: undefined, headers: { ...headers } }, follow)

  const postForm: UserAgent['postForm'] = (url, fields, { headers = {}, follow } = {}) =>
    visit(
      {
        method: 'POST',
        url: new URL(url, current),
        body: new URLSearchParams(fields).toString(),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          // Browsers name the page a form came from; servers refuse forms of strangers by it.
          origin: current?.origin ?? 'null',
          ...headers,
        },
      },
      follow,
    )

  return {
    get,
    postForm,
    submit: (form, fields = {}, options) => {
      const filled = { ...form.fields, ...fields }
      if (form.method === 'POST') return postForm(form.action, filled, options)
      const url = new URL(form.action)
      url.search = new URLSearchParams(filled).toString()
      return get(url.href, options)
    },
    cookies: (url) => jar.list(new URL(url)),
    close: () => own.close(),
  }
}
