/**
 * A parsed filter bound to the schema: every attribute is known, every comparison is one that its type has, every
 * literal is of that type. What matching in memory and (later) SQL work from.
 */
import { type Attribute, subAttribute } from './attribute.ts'
import { unknownAttribute } from './coerce.ts'
import { scimFault } from './faults.ts'
import type { AttributePath, CompareOperator, Filter, Literal } from './filter-parser.ts'
import type { Target } from './resource-types.ts'

/** The steps from the thing that is filtered to the value compared, and that value's attribute. */
export type Operand = { steps: readonly string[]; attribute: Attribute }

export type BoundFilter =
  | { kind: 'and' | 'or'; of: BoundFilter[] }
  | { kind: 'not'; of: BoundFilter }
  | { kind: 'compare'; operand: Operand; operator: CompareOperator; value: Literal }
  | { kind: 'present'; operand: Operand }
  | { kind: 'values'; operand: Operand; of: BoundFilter }

type Scope = {
  operand: (path: AttributePath) => Operand
  /** The scope inside the brackets of a value path. */
  inside: (operand: Operand) => Scope
}

const written = (path: AttributePath): string =>
  `${path.urn === null ? '' : `${path.urn}:`}${path.name}${path.sub === null ? '' : `.${path.sub}`}`

const elementScope = (of: Attribute): Scope => ({
  operand: (path) => {
    const sub = path.urn === null && path.sub === null ? subAttribute(of, path.name) : null
    // `[value eq "x"]` on a multi-valued attribute without sub-attributes means the value itself.
    if (!sub && of.type !== 'complex' && path.name.toLowerCase() === 'value') {
      return { steps: [], attribute: { ...of, multiValued: false } }
    }
    if (!sub) throw unknownAttribute('invalid_filter', `${of.name}.${written(path)}`)
    return { steps: [sub.name], attribute: sub }
  },
  inside: () => {
    throw scimFault('invalid_filter', 'A filter in brackets may not hold another one in brackets.')
  },
})

const resourceScope = (resolve: (path: AttributePath) => Target | null): Scope => ({
  operand: (path) => {
    const target = resolve(path)
    if (target?.kind !== 'attribute') throw unknownAttribute('invalid_filter', written(path))
    const { extension, attribute, sub } = target
    const steps = [...(extension === null ? [] : [extension]), attribute.name, ...(sub ? [sub.name] : [])]
    return { steps, attribute: sub ?? attribute }
  },
  inside: (operand) => elementScope(operand.attribute),
})

const ORDERED: ReadonlySet<CompareOperator> = new Set(['gt', 'ge', 'lt', 'le'])
const TEXTUAL: ReadonlySet<CompareOperator> = new Set(['co', 'sw', 'ew'])
const TEXT_TYPES: ReadonlySet<Attribute['type']> = new Set(['string', 'reference'])

const literalOf = (attribute: Attribute, value: Literal): Literal => {
  const wrong = (type: string) =>
    scimFault('invalid_filter', `${attribute.name} is compared with ${type} in a filter.`)
  if (value === null) return null
  if (attribute.type === 'boolean') {
    // Entra asks for `primary eq "True"`.
    const word = String(value).toLowerCase()
    if (word !== 'true' && word !== 'false') throw wrong('true or false')
    return word === 'true'
  }
  if (attribute.type === 'integer' || attribute.type === 'decimal') {
    const number = typeof value === 'boolean' ? Number.NaN : Number(value)
    if (Number.isNaN(number)) throw wrong('a number')
    return number
  }
  if (typeof value !== 'string') throw wrong('a quoted value')
  return value
}

const demandComparable = (attribute: Attribute, operator: CompareOperator, value: Literal): void => {
  const unordered = attribute.type === 'boolean' || attribute.type === 'binary'
  const refused =
    (ORDERED.has(operator) && (unordered || value === null)) ||
    (TEXTUAL.has(operator) && (!TEXT_TYPES.has(attribute.type) || value === null))
  if (refused) {
    throw scimFault('invalid_filter', `${attribute.name} cannot be compared by ${operator} with that value.`)
  }
}

// `emails co "x"` means `emails.value`; a complex attribute without a `value` has nothing to compare.
const comparable = (operand: Operand): Operand => {
  if (operand.attribute.type !== 'complex') return operand
  const value = subAttribute(operand.attribute, 'value')
  if (value) return { steps: [...operand.steps, value.name], attribute: value }
  throw scimFault('invalid_filter', `${operand.attribute.name} has parts: name the one to compare.`)
}

const bind = (filter: Filter, scope: Scope): BoundFilter => {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return { kind: filter.kind, of: filter.of.map((inner) => bind(inner, scope)) }
    case 'not':
      return { kind: 'not', of: bind(filter.of, scope) }
    case 'present':
      return { kind: 'present', operand: scope.operand(filter.path) }
    case 'compare': {
      const operand = comparable(scope.operand(filter.path))
      if (operand.attribute.returned === 'never') {
        // Guessing a secret by comparing it is as good as reading it.
        throw scimFault('invalid_filter', `${operand.attribute.name} cannot be filtered by.`)
      }
      const value = literalOf(operand.attribute, filter.value)
      demandComparable(operand.attribute, filter.operator, value)
      return { kind: 'compare', operand, operator: filter.operator, value }
    }
    case 'values': {
      const operand = scope.operand(filter.path)
      return { kind: 'values', operand, of: bind(filter.of, scope.inside(operand)) }
    }
  }
}

/** @throws AppError `invalid`/`invalid_filter`: an unknown attribute, or a comparison that its type does not have */
export const bindFilter = (filter: Filter, resolve: (path: AttributePath) => Target | null): BoundFilter =>
  bind(filter, resourceScope(resolve))

/** Binds what stands in the brackets of `attribute[…]`. @throws as `bindFilter` */
export const bindElementFilter = (filter: Filter, attribute: Attribute): BoundFilter =>
  bind(filter, elementScope(attribute))
