import type { Context } from 'koa'
import type { ComponentChildren, JSX } from 'preact'
import { renderToString } from 'preact-render-to-string'
import { STYLE } from './style.ts'

const Mark = ({ stroke }: { stroke: string }) => (
  <svg
    xmlns="http://www.w3.org/2000/svg"
    viewBox="0 0 24 24"
    fill="none"
    stroke={stroke}
    stroke-width="2"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  >
    <path d="M3 9 12 3l9 6M5 21V10m14 11V10M10 21v-6a2 2 0 0 1 4 0v6M2 21h20" />
  </svg>
)

/** In the page itself, so that there is nothing else to fetch; a blue that shows on light and on dark tabs. */
const ICON = `data:image/svg+xml,${encodeURIComponent(renderToString(<Mark stroke="#5a73f0" />))}`

/** One page: one heading, one thing to do. JSX escapes whatever is put in. */
export const Page = ({ title, children }: { title: string; children: ComponentChildren }) => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="robots" content="noindex" />
      <title>{`${title} · Portico`}</title>
      <link rel="icon" href={ICON} />
      {/* A constant of ours, unescaped: escaped, its hash would not match the policy. */}
      <style dangerouslySetInnerHTML={{ __html: STYLE }} />
    </head>
    <body>
      <main>
        <header>
          <Mark stroke="currentColor" />
          Portico
        </header>
        <h1>{title}</h1>
        {children}
      </main>
    </body>
  </html>
)

export const sendPage = (koa: Context, page: JSX.Element): void => {
  koa.type = 'text/html; charset=utf-8'
  koa.set('Cache-Control', 'no-store')
  koa.body = `<!doctype html>${renderToString(page)}`
}

/** 303, never 307: what follows is always a GET, and no form is ever posted on to another site. */
export const seeOther = (koa: Context, url: string): void => {
  koa.status = 303
  koa.set('Location', url)
  koa.set('Cache-Control', 'no-store')
  koa.body = ''
}
