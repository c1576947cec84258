import type { Attribute } from './attribute.ts'
import type { BoundFilter, Operand } from './filter-binding.ts'
import type { CompareOperator, Literal } from './filter-parser.ts'
import { isObject, type Json } from './json.ts'

/** Every value that the steps lead to; a list on the way fans out. */
const valuesAt = (node: Json | undefined, steps: readonly string[]): Json[] => {
  if (node === undefined || node === null) return []
  if (Array.isArray(node)) return node.flatMap((element) => valuesAt(element, steps))
  const [step, ...rest] = steps
  if (step === undefined) return [node]
  return isObject(node) ? valuesAt(node[step], rest) : []
}

const folded = (attribute: Attribute, value: Json | Literal): Json | Literal =>
  typeof value === 'string' && !attribute.caseExact ? value.toLowerCase() : value

const order = (attribute: Attribute, a: Json, b: Json): number => {
  if (attribute.type === 'dateTime') return Date.parse(String(a)) - Date.parse(String(b))
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0
}

const holds: Record<CompareOperator, (a: Json, b: Json, attribute: Attribute) => boolean> = {
  eq: (a, b, attribute) => order(attribute, a, b) === 0,
  ne: (a, b, attribute) => order(attribute, a, b) !== 0,
  co: (a, b) => String(a).includes(String(b)),
  sw: (a, b) => String(a).startsWith(String(b)),
  ew: (a, b) => String(a).endsWith(String(b)),
  gt: (a, b, attribute) => order(attribute, a, b) > 0,
  ge: (a, b, attribute) => order(attribute, a, b) >= 0,
  lt: (a, b, attribute) => order(attribute, a, b) < 0,
  le: (a, b, attribute) => order(attribute, a, b) <= 0,
}

const isPresent = (value: Json): boolean =>
  isObject(value) ? Object.values(value).some((inner) => inner !== null) : value !== ''

const compare = (operand: Operand, operator: CompareOperator, literal: Literal, node: Json): boolean => {
  const values = valuesAt(node, operand.steps)
  // RFC 7643 section 2.5: null and unassigned are one state.
  if (literal === null) return (values.length === 0) === (operator === 'eq')
  if (values.length === 0) return operator === 'ne'
  const wanted = folded(operand.attribute, literal)
  return values.some((value) =>
    holds[operator](folded(operand.attribute, value) as Json, wanted as Json, operand.attribute),
  )
}

/** Evaluates a bound filter on a resource, or on one element of a value path. For PATCH paths; lists are SQL. */
export const matches = (filter: BoundFilter, node: Json): boolean => {
  switch (filter.kind) {
    case 'and':
      return filter.of.every((inner) => matches(inner, node))
    case 'or':
      return filter.of.some((inner) => matches(inner, node))
    case 'not':
      return !matches(filter.of, node)
    case 'present':
      return valuesAt(node, filter.operand.steps).some(isPresent)
    case 'compare':
      return compare(filter.operand, filter.operator, filter.value, node)
    case 'values':
      return valuesAt(node, filter.operand.steps).some((element) => matches(filter.of, element))
  }
}
