/**
 * The gate in front of the XML parser: one pass over the text, no backtracking beyond a token, no tree.
 * It admits the part of XML 1.0 with namespaces that all readers agree on. The parser behind it repairs what is
 * broken and guesses what is missing; whatever it would have to repair or guess is refused here.
 */

export type ScanLimits = {
  characters: number
  elements: number
  depth: number
  /** Per element, namespace declarations included. */
  attributes: number
  /** In the whole document: each costs the parser and the canonicalisation as much as an element. */
  allAttributes: number
  /** Different element names: the parser looks through the whole text once for each. */
  names: number
  comments: boolean
}

/** `malformed`: not well-formed; `refused`: well-formed, and not admitted; `too_large`: over a cap. */
export type ScanFault = { kind: 'malformed' | 'refused' | 'too_large'; what: string; at: number }

type Bindings = ReadonlyMap<string, string>

type Cursor = {
  readonly source: string
  readonly limits: ScanLimits
  at: number
  elements: number
  attributes: number
  readonly names: Set<string>
  readonly open: { name: string; bindings: Bindings }[]
}

// Names are ASCII: those of SAML, XML Signature and SAML metadata all are. A leading `__` is how a name reaches for
// the prototype of a parser's own tables.
const NAME = '(?!__)[A-Za-z_][A-Za-z0-9_.-]*'
const QNAME = `${NAME}(?::${NAME})?`
const DECLARATION =
  /<\?xml[ \t\n]+version=(?:"1\.0"|'1\.0')(?:[ \t\n]+encoding=(?:"[uU][tT][fF]-8"|'[uU][tT][fF]-8'))?(?:[ \t\n]+standalone=(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\n]*\?>/y
const START = new RegExp(`<(${QNAME})`, 'y')
const ATTRIBUTE = new RegExp(`[ \\t\\n]+(${QNAME})[ \\t\\n]*=[ \\t\\n]*(?:"([^"<]*)"|'([^'<]*)')`, 'y')
const START_END = /[ \t\n]*(\/?)>/y
const END = new RegExp(`</(${QNAME})[ \\t\\n]*>`, 'y')
const REFERENCE = /&(?:amp|lt|gt|quot|apos|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));/y
const BLANK = /^[ \t\n]*$/
// U+0085 and U+2028 are legal in XML 1.0, but our parser and others end lines there: readers disagree about them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: naming the forbidden characters is the point
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u0085\u2028\ufffe\uffff]/
// The canonicalisation writes namespace URIs without escaping: one with a quote in it could write an attribute.
const NAMESPACE_URI = /^[^\s<>"'&]+$/
const XHTML = 'http://www.w3.org/1999/xhtml'
const XML = 'http://www.w3.org/XML/1998/namespace'
const XMLNS = 'http://www.w3.org/2000/xmlns/'

const fault = (cursor: Cursor, kind: ScanFault['kind'], what: string): ScanFault => ({
  kind,
  what,
  at: cursor.at,
})

const match = (cursor: Cursor, pattern: RegExp): RegExpExecArray | null => {
  pattern.lastIndex = cursor.at
  const found = pattern.exec(cursor.source)
  if (found) cursor.at = pattern.lastIndex
  return found
}

const isXmlCharacter = (code: number): boolean =>
  code === 0x9 ||
  code === 0xa ||
  code === 0xd ||
  (code >= 0x20 && code <= 0xd7ff) ||
  (code >= 0xe000 && code <= 0xfffd) ||
  (code >= 0x10000 && code <= 0x10ffff)

/** Every `&` starts a predefined entity or a reference to a legal character (XML 1.0 section 4.1). */
const referencesHold = (value: string): boolean => {
  for (let at = value.indexOf('&'); at >= 0; at = value.indexOf('&', REFERENCE.lastIndex)) {
    REFERENCE.lastIndex = at
    const found = REFERENCE.exec(value)
    if (!found) return false
    const digits = found[1] ?? found[2]
    if (digits !== undefined && !isXmlCharacter(Number.parseInt(digits, found[1] ? 10 : 16))) return false
  }
  return true
}

const scanText = (cursor: Cursor, end: number): ScanFault | null => {
  const text = cursor.source.slice(cursor.at, end)
  if (cursor.open.length === 0 && !BLANK.test(text)) {
    return fault(cursor, 'malformed', 'text outside the root element')
  }
  if (text.includes(']]>')) return fault(cursor, 'malformed', ']]> in text')
  if (!referencesHold(text)) return fault(cursor, 'malformed', 'an unknown or illegal reference')
  cursor.at = end
  return null
}

const scanMarkup = (cursor: Cursor): ScanFault | null => {
  const { source, at, limits } = cursor
  if (source.startsWith('<?', at)) return fault(cursor, 'refused', 'a processing instruction')
  if (source.startsWith('<![CDATA[', at)) return fault(cursor, 'refused', 'a CDATA section')
  if (!source.startsWith('<!--', at)) return fault(cursor, 'refused', 'a document type declaration')
  if (!limits.comments) return fault(cursor, 'refused', 'a comment')
  const end = source.indexOf('--', at + 4)
  if (end < 0 || source[end + 2] !== '>') return fault(cursor, 'malformed', 'a comment that does not end')
  cursor.at = end + 3
  return null
}

const scanEnd = (cursor: Cursor): ScanFault | null => {
  const found = match(cursor, END)
  const opened = cursor.open.pop()
  if (!found || opened?.name !== found[1]) {
    return fault(cursor, 'malformed', 'an end tag that matches no start tag')
  }
  return null
}

type RawAttribute = { name: string; prefix: string; local: string; value: string }

const split = (name: string): { prefix: string; local: string } => {
  const colon = name.indexOf(':')
  return { prefix: colon < 0 ? '' : name.slice(0, colon), local: name.slice(colon + 1) }
}

const scanAttributes = (cursor: Cursor): RawAttribute[] | ScanFault => {
  const attributes: RawAttribute[] = []
  for (let found = match(cursor, ATTRIBUTE); found; found = match(cursor, ATTRIBUTE)) {
    const name = found[1] as string
    const value = found[2] ?? found[3] ?? ''
    if (attributes.length >= cursor.limits.attributes) {
      return fault(cursor, 'too_large', 'attributes of one element')
    }
    if (attributes.some((other) => other.name === name)) {
      return fault(cursor, 'malformed', 'an attribute given twice')
    }
    if (!referencesHold(value)) return fault(cursor, 'malformed', 'an unknown or illegal reference')
    attributes.push({ name, value, ...split(name) })
  }
  cursor.attributes += attributes.length
  if (cursor.attributes > cursor.limits.allAttributes) return fault(cursor, 'too_large', 'attributes')
  return attributes
}

const isDeclaration = ({ name, prefix }: RawAttribute): boolean => name === 'xmlns' || prefix === 'xmlns'

const declarationHolds = ({ name, local, value }: RawAttribute): boolean => {
  if (name === 'xmlns') return value === '' || (NAMESPACE_URI.test(value) && value !== XHTML)
  return (
    local !== 'xml' &&
    local !== 'xmlns' &&
    NAMESPACE_URI.test(value) &&
    value !== XML &&
    value !== XMLNS &&
    value !== XHTML
  )
}

/** Namespaces in XML 1.0: declarations hold, prefixes are bound, expanded attribute names are unique. */
const bind = (cursor: Cursor, name: string, attributes: RawAttribute[]): Bindings | ScanFault => {
  const inherited = cursor.open.at(-1)?.bindings ?? new Map([['xml', XML]])
  const declarations = attributes.filter(isDeclaration)
  // The canonicalisation leaves out every attribute whose name begins like this, declaration or not.
  if (attributes.some((attribute) => attribute.name.startsWith('xmlns') && !isDeclaration(attribute))) {
    return fault(cursor, 'refused', 'an attribute name that begins with xmlns')
  }
  if (!declarations.every(declarationHolds)) return fault(cursor, 'refused', 'a namespace declaration')
  const bindings = declarations.length === 0 ? inherited : new Map(inherited)
  for (const { name: qualified, local, value } of declarations) {
    ;(bindings as Map<string, string>).set(qualified === 'xmlns' ? '' : local, value)
  }
  const { prefix } = split(name)
  if (prefix === 'xml' || (prefix !== '' && !bindings.has(prefix))) {
    return fault(cursor, 'malformed', 'a prefix without a namespace')
  }
  return attributesBound(attributes, bindings) ? bindings : fault(cursor, 'malformed', 'attribute namespaces')
}

const attributesBound = (attributes: RawAttribute[], bindings: Bindings): boolean => {
  const expanded = new Set<string>()
  for (const attribute of attributes) {
    if (attribute.prefix === '' || isDeclaration(attribute)) continue
    const uri = bindings.get(attribute.prefix)
    if (uri === undefined || expanded.has(`${uri} ${attribute.local}`)) return false
    expanded.add(`${uri} ${attribute.local}`)
  }
  return true
}

const scanStart = (cursor: Cursor): ScanFault | null => {
  const { limits, names, open } = cursor
  if (open.length === 0 && cursor.elements > 0) return fault(cursor, 'malformed', 'a second root element')
  const name = match(cursor, START)?.[1]
  if (name === undefined) return fault(cursor, 'malformed', 'a tag')
  cursor.elements += 1
  names.add(name)
  if (cursor.elements > limits.elements) return fault(cursor, 'too_large', 'elements')
  if (names.size > limits.names) return fault(cursor, 'too_large', 'different element names')
  if (open.length >= limits.depth) return fault(cursor, 'too_large', 'nested elements')
  const attributes = scanAttributes(cursor)
  if (!Array.isArray(attributes)) return attributes
  const end = match(cursor, START_END)
  if (!end) return fault(cursor, 'malformed', 'a start tag')
  const bindings = bind(cursor, name, attributes)
  if ('kind' in bindings) return bindings
  if (end[1] === '') open.push({ name, bindings })
  return null
}

const scanNext = (cursor: Cursor): ScanFault | null => {
  const { source } = cursor
  const next = source.indexOf('<', cursor.at)
  if (next !== cursor.at) return scanText(cursor, next < 0 ? source.length : next)
  const following = source[next + 1]
  if (following === '/') return scanEnd(cursor)
  return following === '!' || following === '?' ? scanMarkup(cursor) : scanStart(cursor)
}

/**
 * The first thing about `source` that is not admitted, or how many elements it has. Linear in its length.
 * @param source line ends already normalised to U+000A (XML 1.0 section 2.11)
 */
export const scanXml = (
  source: string,
  limits: ScanLimits,
): { fault: ScanFault } | { fault: null; elements: number } => {
  const cursor: Cursor = { source, limits, at: 0, elements: 0, attributes: 0, names: new Set(), open: [] }
  if (source.length > limits.characters) return { fault: fault(cursor, 'too_large', 'characters') }
  if (FORBIDDEN.test(source)) return { fault: fault(cursor, 'malformed', 'a forbidden character') }
  // Only a declaration at the very start; with another encoding than the bytes have it counts as malformed.
  if (/^<\?xml[ \t\n]/.test(source) && !match(cursor, DECLARATION)) {
    return { fault: fault(cursor, 'malformed', 'an XML declaration that is not version 1.0 in UTF-8') }
  }
  while (cursor.at < source.length) {
    const found = scanNext(cursor)
    if (found) return { fault: found }
  }
  if (cursor.elements === 0 || cursor.open.length > 0) {
    return { fault: fault(cursor, 'malformed', 'an element that does not end') }
  }
  return { fault: null, elements: cursor.elements }
}
