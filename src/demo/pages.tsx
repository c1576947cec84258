/** The pages of the demo peers. JSX escapes every value; styles and the one script are pinned by hash in the CSP. */
import { createHash } from 'node:crypto'
import type { ComponentChildren, VNode } from 'preact'
import { renderToString } from 'preact-render-to-string'
import type { Person } from './peers.ts'

// No quotes, ampersands or angle brackets in these two: the renderer would escape them and the hash would not match.
const STYLE = `
:root { color-scheme: light; --accent: #4338ca; --ink: #1c1e26; --soft: #5b6070; --line: #dcdfe8; --page: #f4f5f9 }
.saml { --accent: #0f766e }
.oidc { --accent: #b45309 }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, Segoe UI, Roboto, sans-serif }
main { width: 100%; max-width: 27rem; background: #fff; border: 1px solid var(--line); border-radius: 14px;
  border-top: 5px solid var(--accent); padding: 2rem; box-shadow: 0 12px 32px rgb(28 30 38 / 8%) }
.eyebrow { margin: 0; font-size: .8rem; font-weight: 600; letter-spacing: .04em; color: var(--accent) }
h1 { margin: .25rem 0 .5rem; font-size: 1.45rem; line-height: 1.25 }
p { margin: .5rem 0 1rem; color: var(--soft) }
a { color: var(--accent) }
ul { list-style: none; margin: 1.25rem 0; padding: 0; display: grid; gap: .5rem }
button, input { font: inherit; min-height: 2.75rem; border-radius: 9px; padding: .5rem .9rem }
button { cursor: pointer; border: 1px solid var(--accent); background: var(--accent); color: #fff; font-weight: 600 }
button.quiet { background: #fff; color: var(--accent) }
button.person { width: 100%; text-align: left; background: #fff; color: var(--ink); border-color: var(--line) }
button.person:hover { border-color: var(--accent) }
button.person span { display: block; font-weight: 400; font-size: .9rem; color: var(--soft) }
button:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
label { display: block; font-weight: 600; margin-bottom: .25rem }
input { width: 100%; border: 1px solid #868b9c; color: var(--ink); background: #fff; margin-bottom: .75rem }
hr { border: 0; border-top: 1px solid var(--line); margin: 1.5rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1rem; margin: 1.25rem 0 }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
.row { display: flex; flex-wrap: wrap; gap: .6rem }
.alert { border-left: 4px solid #b91c1c; background: #fef2f2; color: #7f1d1d; padding: .6rem .9rem; border-radius: 6px }
`
const SUBMIT_SCRIPT = 'document.forms[0].submit()'

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** `form-action` is left out: Chromium applies it to every redirect that follows a form, across sites. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy': [
    "default-src 'none'",
    `style-src ${hashOf(STYLE)}`,
    `script-src ${hashOf(SUBMIT_SCRIPT)}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
}

type Look = { kind: 'saml' | 'oidc' | 'app'; eyebrow: string; title: string }

const page = ({ kind, eyebrow, title }: Look, children: ComponentChildren): string =>
  `<!doctype html>${renderToString(
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{`${title} · ${eyebrow}`}</title>
        <style>{STYLE}</style>
      </head>
      <body class={kind}>
        <main>
          <p class="eyebrow">{eyebrow}</p>
          <h1>{title}</h1>
          {children}
        </main>
      </body>
    </html>,
  )}`

const Hidden = ({ fields }: { fields: Readonly<Record<string, string>> }): VNode => (
  <>
    {Object.entries(fields).map(([name, value]) => (
      <input key={name} type="hidden" name={name} value={value} />
    ))}
  </>
)

const Alert = ({ children }: { children: ComponentChildren }): VNode => (
  <p class="alert" role="alert">
    {children}
  </p>
)

/** A page that only says something. */
export const noticePage = (look: Look, sentences: readonly string[]): string =>
  page(
    look,
    sentences.map((sentence) => <p key={sentence}>{sentence}</p>),
  )

/** What went wrong, in one sentence. */
export const faultPage = (look: Look, sentence: string): string => page(look, <Alert>{sentence}</Alert>)

/**
 * Who signs in: a button for each person (`person`), or an address (`email`). Both are plain forms that carry `hidden`.
 * The address has a form of its own, since Enter in a field presses the first button of its form.
 */
export const pickPersonPage = (
  look: Look,
  options: {
    action: string
    people: readonly Person[]
    hidden: Readonly<Record<string, string>>
    hint?: string | undefined
    fault?: string | undefined
    cancellable?: boolean
  },
): string =>
  page(
    look,
    <>
      <p>This stands for your company’s sign-in. Nobody has a password here: pick who you are.</p>
      {options.fault === undefined ? null : <Alert>{options.fault}</Alert>}
      <form method="post" action={options.action}>
        <Hidden fields={options.hidden} />
        <ul>
          {options.people.map((person) => (
            <li key={person.id}>
              <button class="person" type="submit" name="person" value={person.id}>
                {person.displayName}
                <span>{person.email}</span>
              </button>
            </li>
          ))}
        </ul>
      </form>
      <hr />
      <form method="post" action={options.action}>
        <Hidden fields={options.hidden} />
        <label for="email">Or type an address</label>
        <input
          id="email"
          name="email"
          type="email"
          autocomplete="username"
          value={options.hint ?? ''}
          required
        />
        <button type="submit">Continue</button>
      </form>
      {options.cancellable ? (
        <form method="post" action={options.action}>
          <Hidden fields={options.hidden} />
          <p>
            <button class="quiet" type="submit" name="cancel" value="yes">
              Cancel
            </button>
          </p>
        </form>
      ) : null}
    </>,
  )

/** Hands a message to `action` by the POST binding; the button is for browsers without scripts. */
export const handOverPage = (
  look: Look,
  { action, fields }: { action: string; fields: Readonly<Record<string, string>> },
): string =>
  page(
    look,
    <>
      <form method="post" action={action}>
        <Hidden fields={fields} />
        <p>You are being sent back. If nothing happens, press the button.</p>
        <button type="submit">Continue</button>
      </form>
      <script>{SUBMIT_SCRIPT}</script>
    </>,
  )

const Facts = ({ facts }: { facts: readonly (readonly [string, string])[] }): VNode => (
  <dl>
    {facts.map(([name, value]) => (
      <>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </>
    ))}
  </dl>
)

/** The demo app with nobody signed in. */
export const signedOutPage = (look: Look, fault: string | undefined): string =>
  page(
    look,
    <>
      <p>A small app of the platform. It knows no password and no IdP: it sends people to the broker.</p>
      {fault === undefined ? null : <Alert>{fault}</Alert>}
      <form method="get" action="/sign-in">
        <button type="submit">Sign in</button>
      </form>
    </>,
  )

/** The demo app with somebody signed in. */
export const signedInPage = (
  look: Look,
  { facts, fault }: { facts: readonly (readonly [string, string])[]; fault: string | undefined },
): string =>
  page(
    look,
    <>
      {fault === undefined ? null : <Alert>{fault}</Alert>}
      <Facts facts={facts} />
      <div class="row">
        <form method="post" action="/refresh">
          <button type="submit">Refresh the token</button>
        </form>
        <form method="post" action="/sign-out">
          <button class="quiet" type="submit">
            Sign out
          </button>
        </form>
      </div>
    </>,
  )
