/** Reads the forms of an HTML page as a browser would submit them. Enough HTML for server-rendered pages, no scripts. */
export type HtmlForm = {
  /** Absolute. */
  action: string
  method: 'GET' | 'POST'
  /** Successful controls with their initial values: hidden, text, checked boxes, chosen options, text areas. */
  fields: Record<string, string>
  /** Submit buttons that carry a name: pressing one adds its pair. */
  buttons: { name: string; value: string }[]
}

type Token = { name: string; closing: boolean; attributes: ReadonlyMap<string, string>; text: string }

const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
}

/** Decodes the character references that server-side renderers write; unknown ones stay as they are. */
export const decodeHtml = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return NAMED[name.toLowerCase()] ?? whole
    const code = hex === undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })

const ATTRIBUTE = /([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>=`]+)))?/g

const attributesOf = (source: string): Map<string, string> => {
  const attributes = new Map<string, string>()
  for (const [, name = '', double, single, bare] of source.matchAll(ATTRIBUTE)) {
    const key = name.toLowerCase()
    // As in a browser, the first of two attributes of one name counts.
    if (!attributes.has(key)) attributes.set(key, decodeHtml(double ?? single ?? bare ?? ''))
  }
  return attributes
}

const RAW_TEXT = new Set(['script', 'style', 'textarea', 'title', 'noscript'])

/** Tags in order. The text of a raw element (a `<form>` inside a script is no form) rides on its opening tag. */
function* tokens(html: string): Generator<Token> {
  const tag = /<!--[\s\S]*?-->|<(\/?)([a-z][a-z0-9-]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/gi
  for (let match = tag.exec(html); match; match = tag.exec(html)) {
    const [, slash, rawName, source = ''] = match
    if (rawName === undefined) continue
    const name = rawName.toLowerCase()
    let text = ''
    // Without scripts the content of <noscript> is part of the page.
    if (slash === '' && RAW_TEXT.has(name) && name !== 'noscript') {
      const close = html.toLowerCase().indexOf(`</${name}`, tag.lastIndex)
      const end = close < 0 ? html.length : close
      text = html.slice(tag.lastIndex, end)
      tag.lastIndex = end
    }
    yield { name, closing: slash === '/', attributes: attributesOf(source), text }
  }
}

const addInput = (form: HtmlForm, attributes: ReadonlyMap<string, string>): void => {
  const name = attributes.get('name')
  if (!name) return
  const type = attributes.get('type')?.toLowerCase() ?? 'text'
  const value = attributes.get('value')
  if (type === 'submit' || type === 'image') {
    form.buttons.push({ name, value: value ?? '' })
  } else if (type === 'checkbox' || type === 'radio') {
    if (attributes.has('checked')) form.fields[name] = value ?? 'on'
  } else if (type !== 'button' && type !== 'reset' && type !== 'file') {
    form.fields[name] = value ?? ''
  }
}

const addButton = (form: HtmlForm, attributes: ReadonlyMap<string, string>): void => {
  const name = attributes.get('name')
  const type = attributes.get('type')?.toLowerCase() ?? 'submit'
  if (name && type === 'submit') form.buttons.push({ name, value: attributes.get('value') ?? '' })
}

const startForm = (attributes: ReadonlyMap<string, string>, pageUrl: string): HtmlForm => ({
  action: new URL(attributes.get('action') || pageUrl, pageUrl).href,
  method: attributes.get('method')?.toLowerCase() === 'post' ? 'POST' : 'GET',
  fields: Object.create(null),
  buttons: [],
})

/** What is open at a point of the page. */
type Open = { forms: HtmlForm[]; form: HtmlForm | undefined; select: string | undefined }

const CONTROLS: Readonly<Record<string, (form: HtmlForm, token: Token, open: Open) => void>> = {
  input: (form, { attributes }) => addInput(form, attributes),
  button: (form, { attributes }) => addButton(form, attributes),
  textarea: (form, { attributes, text }) => {
    const name = attributes.get('name')
    if (name) form.fields[name] = decodeHtml(text)
  },
  select: (_form, { attributes }, open) => {
    open.select = attributes.get('name')
  },
  // Without a chosen option a drop-down list submits its first.
  option: (form, { attributes }, { select }) => {
    if (!select || (select in form.fields && !attributes.has('selected'))) return
    form.fields[select] = attributes.get('value') ?? ''
  },
}

const closeTag = (name: string, open: Open): void => {
  if (name === 'form') open.form = undefined
  if (name === 'select') open.select = undefined
}

const openTag = (token: Token, open: Open, pageUrl: string): void => {
  // As in a browser, a form inside a form is ignored.
  if (token.name === 'form' && !open.form) {
    open.form = startForm(token.attributes, pageUrl)
    open.forms.push(open.form)
  } else if (open.form && !token.attributes.has('disabled')) {
    CONTROLS[token.name]?.(open.form, token, open)
  }
}

/** Every form of the page, in document order; `pageUrl` resolves relative actions. */
export const parseForms = (html: string, pageUrl: string): HtmlForm[] => {
  const open: Open = { forms: [], form: undefined, select: undefined }
  for (const token of tokens(html)) {
    if (token.closing) closeTag(token.name, open)
    else openTag(token, open, pageUrl)
  }
  return open.forms
}
