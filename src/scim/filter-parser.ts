/**
 * Filters and PATCH paths (RFC 7644 figures 1 and 7) to a tree. Syntax only: what an attribute is and whether it can be
 * compared so is `filter-binding.ts`. Every cap is checked while reading, so that hostile text is refused at once.
 */
import { scimFault, shown } from './faults.ts'
import { isPoison } from './json.ts'

export type CompareOperator = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le'
export type Literal = string | number | boolean | null

/** `urn:…:User:name.familyName`: URN or null, name, sub-attribute or null; as written, letter case included. */
export type AttributePath = { urn: string | null; name: string; sub: string | null }

export type Filter =
  | { kind: 'and' | 'or'; of: Filter[] }
  | { kind: 'not'; of: Filter }
  | { kind: 'compare'; path: AttributePath; operator: CompareOperator; value: Literal }
  | { kind: 'present'; path: AttributePath }
  | { kind: 'values'; path: AttributePath; of: Filter }

/** The path of a PATCH operation; `sub` is what follows the brackets. */
export type PatchPath = { path: AttributePath; filter: Filter | null; sub: string | null }

export type FilterSyntax = {
  /** Entra's documentation and its Postman collection leave the quotes out: `externalId eq jyoung`. */
  bareWords: boolean
}

const MAX_LENGTH = 8_192
const MAX_DEPTH = 32
const MAX_NODES = 256
const OPERATORS: ReadonlySet<string> = new Set(['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'])
const NAME = /^[A-Za-z$][A-Za-z0-9_$-]*$/
const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/
const TOKEN = /\s*(?:("(?:[^"\\]|\\.)*")|([()[\]])|([^\s()[\]"]+))/y

type Token = { kind: 'string' | 'mark' | 'word'; text: string }

const fault = (message: string): Error => scimFault('invalid_filter', message)

const tokens = (text: string): Token[] => {
  if (text.length > MAX_LENGTH) throw fault(`A filter may have ${MAX_LENGTH} characters at most.`)
  const found: Token[] = []
  const pattern = new RegExp(TOKEN)
  const end = text.trimEnd().length
  while (pattern.lastIndex < end) {
    const from = pattern.lastIndex
    const match = pattern.exec(text)
    if (!match) throw fault(`The filter has an unclosed quotation mark after character ${from}.`)
    if (match[1] !== undefined) found.push({ kind: 'string', text: match[1] })
    else if (match[2] !== undefined) found.push({ kind: 'mark', text: match[2] })
    else found.push({ kind: 'word', text: match[3] as string })
  }
  return found
}

/** Null where `text` is no attribute path. */
export const readAttributePath = (text: string): AttributePath | null => {
  const colon = text.lastIndexOf(':')
  const urn = colon < 0 ? null : text.slice(0, colon)
  if (urn !== null && !/^urn:[^\s]+$/i.test(urn)) return null
  const [name, sub, ...more] = text.slice(colon + 1).split('.')
  if (name === undefined || !NAME.test(name) || more.length > 0) return null
  if (sub !== undefined && !NAME.test(sub)) return null
  if (isPoison(name) || (sub !== undefined && isPoison(sub))) return null
  return { urn, name, sub: sub ?? null }
}

const readString = (quoted: string): string => {
  try {
    const value = JSON.parse(quoted) as string
    // PostgreSQL has no such character in a text: it could match nothing, and would fail the query.
    if (!value.includes('\0')) return value
  } catch {
    // a bad escape or a raw control character: the fault below
  }
  throw fault('A quoted value in the filter is not a JSON string.')
}

const readLiteral = (token: Token | undefined, syntax: FilterSyntax): Literal => {
  if (token?.kind === 'string') return readString(token.text)
  if (token?.kind !== 'word') throw fault('The filter ends where a value is expected.')
  const word = token.text.toLowerCase()
  if (word === 'true' || word === 'false') return word === 'true'
  if (word === 'null') return null
  if (NUMBER.test(token.text)) return syntax.bareWords ? token.text : Number(token.text)
  if (syntax.bareWords) return token.text
  throw fault(`The value ${shown(token.text)} in the filter needs quotation marks.`)
}

const createParser = (all: Token[], syntax: FilterSyntax) => {
  let at = 0
  let nodes = 0

  const peek = (): Token | undefined => all[at]
  const is = (text: string): boolean => peek()?.kind !== 'string' && peek()?.text.toLowerCase() === text
  const take = (): Token | undefined => all[at++]
  const expect = (text: string): void => {
    if (!is(text))
      throw fault(
        `The filter lacks a "${text}"${peek() ? ` before ${shown(peek()?.text ?? '')}` : ' at its end'}.`,
      )
    at++
  }
  const count = <T extends Filter>(node: T): T => {
    if (++nodes > MAX_NODES) throw fault(`A filter may have ${MAX_NODES} conditions at most.`)
    return node
  }

  const attributePath = (): AttributePath => {
    const token = take()
    const path = token?.kind === 'word' ? readAttributePath(token.text) : null
    if (path) return path
    throw fault(
      token
        ? `The filter has ${shown(token.text)} where an attribute is expected.`
        : 'The filter ends too early.',
    )
  }

  const comparison = (path: AttributePath): Filter => {
    const operator = take()?.text.toLowerCase() ?? ''
    if (operator === 'pr') return count({ kind: 'present', path })
    if (!OPERATORS.has(operator)) {
      throw fault(
        `The filter has no operator after ${path.name}; eq, ne, co, sw, ew, gt, ge, lt, le and pr exist.`,
      )
    }
    return count({
      kind: 'compare',
      path,
      operator: operator as CompareOperator,
      value: readLiteral(take(), syntax),
    })
  }

  const predicate = (depth: number, inside: boolean): Filter => {
    const path = attributePath()
    if (!is('[')) return comparison(path)
    if (inside) throw fault('A filter in brackets may not hold another one in brackets.')
    at++
    const inner = disjunction(depth + 1, true)
    expect(']')
    const next = peek()
    if (next?.kind !== 'word' || !next.text.startsWith('.')) {
      return count({ kind: 'values', path, of: inner })
    }
    // Outside the grammar, yet Entra sends `emails[type eq "work"].value eq "…"`: the same element has to match both.
    at++
    const sub = readAttributePath(next.text.slice(1))
    if (!sub || sub.sub !== null || sub.urn !== null) {
      throw fault(`The filter has ${shown(next.text)} where a sub-attribute is expected.`)
    }
    return count({ kind: 'values', path, of: { kind: 'and', of: [inner, comparison(sub)] } })
  }

  const factor = (depth: number, inside: boolean): Filter => {
    if (depth > MAX_DEPTH) throw fault('The filter is nested too deeply.')
    const negated = is('not') && all[at + 1]?.text === '('
    if (negated) at++
    if (!negated && !is('(')) return predicate(depth, inside)
    expect('(')
    const inner = disjunction(depth + 1, inside)
    expect(')')
    return negated ? count({ kind: 'not', of: inner }) : inner
  }

  const chain = (word: 'and' | 'or', next: () => Filter): Filter => {
    const of = [next()]
    while (is(word)) {
      at++
      of.push(next())
    }
    return of.length === 1 ? (of[0] as Filter) : count({ kind: word, of })
  }

  // `and` binds tighter than `or` (RFC 7644 section 3.4.2.2).
  const disjunction = (depth: number, inside: boolean): Filter =>
    chain('or', () => chain('and', () => factor(depth, inside)))

  return { disjunction, expect, peek, take }
}

/** @throws AppError `invalid`/`invalid_filter` with a sentence that says where it went wrong */
export const parseFilter = (text: string, syntax: FilterSyntax = { bareWords: false }): Filter => {
  const all = tokens(text)
  if (all.length === 0) throw fault('The filter is empty.')
  const parser = createParser(all, syntax)
  const filter = parser.disjunction(0, false)
  const rest = parser.peek()
  if (rest) throw fault(`The filter goes on with ${shown(rest.text)} where it should end.`)
  return filter
}

/**
 * A PATCH path: `name.familyName`, `emails[type eq "work"].value`, `urn:…:User:manager`.
 * @throws AppError `invalid`: `invalid_path`, or `invalid_filter` for what stands in the brackets
 */
export const parsePath = (text: string): PatchPath => {
  const bad = () => scimFault('invalid_path', `${shown(text)} is not a path.`)
  const open = text.indexOf('[')
  const path = readAttributePath((open < 0 ? text : text.slice(0, open)).trim())
  if (!path) throw bad()
  if (open < 0) return { path, filter: null, sub: null }
  if (path.sub !== null) throw bad()
  const parser = createParser(tokens(text.slice(open)), { bareWords: false })
  parser.expect('[')
  const filter = parser.disjunction(0, true)
  parser.expect(']')
  const tail = parser.take()
  if (!tail) return { path, filter, sub: null }
  const sub = tail.text.startsWith('.') ? readAttributePath(tail.text.slice(1)) : null
  if (!sub || sub.sub !== null || sub.urn !== null || parser.peek()) throw bad()
  return { path, filter, sub: sub.name }
}
