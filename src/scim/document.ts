/**
 * Writing attributes of a resource: the one place that POST, PUT and PATCH all pass. A document is plain JSON with
 * canonical names, extension attributes in a container named by their URN, and nothing that is null or empty.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Attribute, subAttribute } from './attribute.ts'
import {
  type CoercionRules,
  coerceComplex,
  coerceElements,
  coerceSimple,
  demandFew,
  unwrap,
  withoutNulls,
} from './coerce.ts'
import { scimFault } from './faults.ts'
import { isObject, type Json, type JsonObject } from './json.ts'

export type WriteMode = 'add' | 'replace'

/** The object that holds an attribute: the document itself, or its extension's part of it. */
export const containerOf = (document: JsonObject, extension: string | null): JsonObject => {
  if (extension === null) return document
  const found = document[extension]
  if (isObject(found)) return found
  const made: JsonObject = {}
  document[extension] = made
  return made
}

export const elementsOf = (container: JsonObject, attribute: Attribute): Json[] => {
  const value = container[attribute.name]
  return Array.isArray(value) ? value : []
}

const key = (element: Json): string =>
  isObject(element)
    ? JSON.stringify(Object.entries(element).sort(([a], [b]) => (a < b ? -1 : 1)))
    : JSON.stringify(element)

/** RFC 7643 section 2.4: the same type and value once only. What is added again is the same element. */
const identity = (element: Json): string =>
  isObject(element) && element.value !== undefined
    ? JSON.stringify([element.type ?? null, element.value])
    : key(element)

/** Stores the elements: none twice, none without its value, and no empty list. */
export const putElements = (container: JsonObject, attribute: Attribute, elements: readonly Json[]): void => {
  const needsValue = attribute.type === 'complex' && subAttribute(attribute, 'value') !== null
  const kept = new Map<string, Json>()
  for (const element of elements) {
    const empty =
      isObject(element) && (Object.keys(element).length === 0 || (needsValue && element.value === undefined))
    if (!empty) kept.set(key(element), element)
  }
  demandFew(attribute, [...kept])
  if (kept.size === 0) delete container[attribute.name]
  else container[attribute.name] = [...kept.values()]
}

/**
 * RFC 7643 section 2.4: `primary` is true once at most. RFC 7644 section 3.5.2: setting a new one takes it from the
 * old one.
 */
export const settlePrimary = (
  attribute: Attribute,
  elements: readonly Json[],
  fresh: readonly Json[],
): void => {
  const chosen = fresh.filter((element) => isObject(element) && element.primary === true)
  if (chosen.length > 1) {
    throw scimFault('invalid_value', `${attribute.name} may have one primary value.`)
  }
  if (chosen.length === 0) return
  for (const element of elements) {
    if (isObject(element) && element !== chosen[0] && element.primary === true) element.primary = false
  }
}

const writeElements = (
  container: JsonObject,
  attribute: Attribute,
  mode: WriteMode,
  value: Json,
  rules: CoercionRules,
): void => {
  const present = mode === 'add' ? elementsOf(container, attribute) : []
  const all = new Map(present.map((element) => [identity(element), element]))
  const fresh = new Set<Json>()
  for (const element of coerceElements(attribute, value, rules)) {
    const twin = all.get(identity(element))
    if (isObject(twin) && isObject(element)) Object.assign(twin, element)
    else all.set(identity(element), element)
    fresh.add(isObject(twin) ? twin : element)
  }
  const elements = [...all.values()]
  settlePrimary(attribute, elements, [...fresh])
  putElements(container, attribute, elements)
}

/** Sets or unassigns one sub-attribute of a complex value. */
export const writeSub = (holder: JsonObject, attribute: Attribute, sub: Attribute, value: Json): void => {
  demandWritable(sub, `${attribute.name}.${sub.name}`)
  const one = unwrap(sub, value)
  if (one === null) delete holder[sub.name]
  else holder[sub.name] = coerceSimple(sub, one)
}

export const demandWritable = (attribute: Attribute, name = attribute.name): void => {
  if (attribute.mutability === 'readOnly') throw scimFault('mutability', `${name} is read-only.`)
}

const writeComplex = (
  container: JsonObject,
  attribute: Attribute,
  mode: WriteMode,
  value: Json,
  rules: CoercionRules,
): void => {
  const before = container[attribute.name]
  const given = coerceComplex(attribute, value, rules)
  // RFC 7644 sections 3.5.2.1 and 3.5.2.3: the sub-attributes given are set, the others stay.
  const after = withoutNulls({
    ...(isObject(before) ? before : {}),
    ...(mode === 'add' ? withoutNulls(given) : given),
  })
  if (Object.keys(after).length === 0) delete container[attribute.name]
  else container[attribute.name] = after
}

/** Unassigns an attribute. @throws AppError `invalid`/`mutability` where it must not go (RFC 7644 section 3.5.2.2) */
export const unassign = (container: JsonObject, attribute: Attribute): void => {
  demandWritable(attribute)
  if (
    attribute.required ||
    (attribute.mutability === 'immutable' && container[attribute.name] !== undefined)
  ) {
    throw scimFault('mutability', `${attribute.name} cannot be removed.`)
  }
  delete container[attribute.name]
}

/** Writes a whole attribute. Null unassigns it on replace and adds nothing on add. */
export const writeAttribute = (
  container: JsonObject,
  attribute: Attribute,
  mode: WriteMode,
  value: Json,
  rules: CoercionRules,
): void => {
  demandWritable(attribute)
  if (!attribute.multiValued && unwrap(attribute, value) === null) {
    if (mode === 'replace') unassign(container, attribute)
    return
  }
  if (attribute.multiValued && value === null && mode === 'add') return
  const before = container[attribute.name]
  const one = attribute.multiValued ? value : unwrap(attribute, value)
  if (attribute.multiValued) writeElements(container, attribute, mode, one, rules)
  else if (attribute.type === 'complex') writeComplex(container, attribute, mode, one, rules)
  else {
    const simple = coerceSimple(attribute, one)
    // Checked for its type, then thrown away: this server keeps nothing that it could never show.
    if (attribute.mutability !== 'writeOnly') container[attribute.name] = simple
  }
  if (
    attribute.mutability === 'immutable' &&
    before !== undefined &&
    !isDeepStrictEqual(before, container[attribute.name])
  ) {
    throw scimFault('mutability', `${attribute.name} cannot be changed once it is set.`)
  }
}

/** Drops the extensions that nothing is left of. */
export const dropEmpty = (document: JsonObject): JsonObject => {
  for (const [name, value] of Object.entries(document)) {
    if (isObject(value) && Object.keys(value).length === 0) delete document[name]
  }
  return document
}
