/**
 * Where a path leads in a document, and what adding, replacing and removing do there (RFC 7644 sections 3.5.2.1 to
 * 3.5.2.3). `document.ts` below writes one attribute; `patch.ts` above walks the operations.
 */
import { subAttribute } from './attribute.ts'
import {
  type CoercionRules,
  coerceComplex,
  coerceElements,
  unknownAttribute,
  withoutNulls,
} from './coerce.ts'
import {
  containerOf,
  demandWritable,
  elementsOf,
  putElements,
  settlePrimary,
  unassign,
  type WriteMode,
  writeAttribute,
  writeSub,
} from './document.ts'
import { scimFault } from './faults.ts'
import { type BoundFilter, bindElementFilter } from './filter-binding.ts'
import { matches } from './filter-match.ts'
import { type PatchPath, parsePath } from './filter-parser.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import { type ResourceType, resolveIn, resolvePath, type SchemaPart, type Target } from './resource-types.ts'

export type WriteRules = CoercionRules & {
  /** What `replace` makes of a value path that matches nothing, and `remove` with it. */
  unmatchedPath: 'refused' | 'created'
}

export type Write = { mode: WriteMode; value: Json; rules: WriteRules }

type AttributeTarget = Extract<Target, { kind: 'attribute' }>

/** An attribute in its place, with the filter that picks among its elements. */
export type Located = AttributeTarget & { filter: BoundFilter | null }

/** @throws AppError `invalid`: `invalid_path`, or `invalid_filter` for what stands in the brackets */
export const locate = (target: AttributeTarget, path: PatchPath, text: string): Located => {
  const { attribute } = target
  if (path.filter === null) return { ...target, filter: null }
  if (!attribute.multiValued) {
    throw scimFault('invalid_path', `${attribute.name} has one value: it takes no filter.`)
  }
  const sub = path.sub === null ? null : subAttribute(attribute, path.sub)
  if (path.sub !== null && !sub) throw unknownAttribute('invalid_path', text)
  return { ...target, sub, filter: bindElementFilter(path.filter, attribute) }
}

const noTarget = (name: string): Error => scimFault('no_target', `The path matches no value of ${name}.`)

/** The one element that a filter of equalities describes, for a path that matches nothing yet; null for any other. */
const described = (filter: BoundFilter): JsonObject | null => {
  if (filter.kind === 'compare' && filter.operator === 'eq') {
    const [step] = filter.operand.steps
    return step === undefined ? null : { [step]: filter.value }
  }
  if (filter.kind !== 'and') return null
  const parts = filter.of.map(described)
  return parts.every((part) => part !== null) ? Object.assign({}, ...parts) : null
}

const hits = (at: Located, element: Json): boolean => at.filter === null || matches(at.filter, element)

/** The elements that a write reaches; where there are none, one is made if rules and mode allow it. */
const reach = (elements: Json[], at: Located, { mode, rules }: Write): JsonObject[] => {
  const found = elements.filter((element) => isObject(element)).filter((element) => hits(at, element))
  if (found.length > 0) return found
  const refused = at.filter !== null && mode === 'replace' && rules.unmatchedPath === 'refused'
  const seed = at.filter === null ? {} : described(at.filter)
  if (refused || !seed) throw noTarget(at.attribute.name)
  const made = withoutNulls(coerceComplex(at.attribute, seed, rules))
  elements.push(made)
  return [made]
}

const writeElement = (element: JsonObject, at: Located, { value, rules }: Write, replaces: boolean): void => {
  if (at.sub) {
    writeSub(element, at.attribute, at.sub, value)
    return
  }
  const one = Array.isArray(value) && value.length === 1 ? (value[0] as Json) : value
  const given = withoutNulls(coerceComplex(at.attribute, one, rules))
  if (replaces) for (const name of Object.keys(element)) delete element[name]
  Object.assign(element, given)
}

const writeToElements = (container: JsonObject, at: Located, write: Write): void => {
  const before = elementsOf(container, at.attribute)
  const elements = [...before]
  const reached = reach(elements, at, write)
  for (const element of reached) {
    // Replace puts the new value in the place of the one that matched; add adds to it. An element that was made for
    // the occasion keeps what the filter said of it.
    writeElement(element, at, write, write.mode === 'replace' && before.includes(element))
  }
  settlePrimary(at.attribute, elements, reached)
  putElements(container, at.attribute, elements)
}

const removeFromElements = (container: JsonObject, at: Located, rules: WriteRules): void => {
  const { attribute, sub } = at
  const elements = elementsOf(container, attribute)
  const hit = elements.filter((element) => hits(at, element))
  if (hit.length === 0 && at.filter !== null && rules.unmatchedPath === 'refused') {
    throw noTarget(attribute.name)
  }
  if (sub) for (const element of hit) if (isObject(element)) writeSub(element, attribute, sub, null)
  putElements(container, attribute, sub ? elements : elements.filter((element) => !hit.includes(element)))
}

const contains = (element: Json, wanted: Json): boolean =>
  isObject(element) && isObject(wanted)
    ? Object.entries(wanted).every(([name, part]) => element[name] === part)
    : element === wanted

/** `remove` with a list of values takes out those: reading it as "remove all" would empty the attribute. */
const removeListed = (container: JsonObject, at: Located, value: Json, rules: WriteRules): void => {
  const listed = coerceElements(at.attribute, value, rules)
  const left = elementsOf(container, at.attribute).filter(
    (element) => !listed.some((wanted) => contains(element, wanted)),
  )
  putElements(container, at.attribute, left)
}

const demandWritableAt = ({ attribute, sub }: Located): void => {
  demandWritable(attribute)
  if (sub) demandWritable(sub, `${attribute.name}.${sub.name}`)
}

/** Adds or replaces at a place. */
export const writeAt = (document: JsonObject, at: Located, write: Write): void => {
  demandWritableAt(at)
  const { attribute, sub, filter, extension } = at
  const container = containerOf(document, extension)
  const { mode, value, rules } = write
  if (attribute.multiValued && (sub || filter)) {
    if (value !== null) writeToElements(container, at, write)
    else if (mode === 'replace') removeFromElements(container, at, rules)
  } else writeAttribute(container, attribute, mode, sub ? { [sub.name]: value } : value, rules)
}

/** Removes at a place; `value` lists what to remove where there is no filter. */
export const removeAt = (
  document: JsonObject,
  at: Located,
  value: Json | undefined,
  rules: WriteRules,
): void => {
  demandWritableAt(at)
  const { attribute, sub, filter, extension } = at
  const container = containerOf(document, extension)
  if (attribute.multiValued && (sub || filter)) removeFromElements(container, at, rules)
  else if (attribute.multiValued && value !== undefined && value !== null) {
    removeListed(container, at, value, rules)
  } else if (sub) writeAttribute(container, attribute, 'replace', { [sub.name]: null }, rules)
  else unassign(container, attribute)
}

/** A value object's keys are names, dotted names, URNs, or even whole value paths: all are read as paths. */
const readKey = (key: string): PatchPath | null => {
  try {
    return parsePath(key)
  } catch {
    return null
  }
}

const ignored = (target: AttributeTarget): boolean =>
  target.attribute.mutability === 'readOnly' ||
  target.sub?.mutability === 'readOnly' ||
  // follows from the attributes there are
  target.attribute.name === 'schemas'

/**
 * Writes the attributes that an object names, in `within` or in the whole resource. Unknown attributes and extensions
 * are passed over, read-only ones ignored (RFC 7644 sections 3.3 and 3.5.1). Returns how many names meant something.
 */
export const writeObject = (
  type: ResourceType,
  document: JsonObject,
  object: JsonObject,
  { mode, rules }: Omit<Write, 'value'>,
  within: SchemaPart | null = null,
): number => {
  let known = 0
  for (const [key, value] of Object.entries(object)) {
    const path = readKey(key)
    const target = path && (within ? resolveIn(type, within, path.path) : resolvePath(type, path.path))
    if (!path || !target) continue
    known++
    if (target.kind === 'extension') writeExtension(type, document, target.part, { mode, rules, value })
    else if (!ignored(target)) writeAt(document, locate(target, path, key), { mode, rules, value })
  }
  return known
}

/** Writes the attributes of one schema, named by its URN alone. */
export const writeExtension = (
  type: ResourceType,
  document: JsonObject,
  part: SchemaPart,
  { mode, rules, value }: Write,
): void => {
  if (isObject(value)) writeObject(type, document, value, { mode, rules }, part)
  else if (value !== null) throw scimFault('invalid_value', `${part.schema.id} has to be an object.`)
  else if (mode === 'replace') removeExtension(type, document, part)
}

/** Unassigns every attribute of an extension. @throws AppError `invalid`/`mutability` for the core schema */
export const removeExtension = (type: ResourceType, document: JsonObject, part: SchemaPart): void => {
  if (part === type.core) throw scimFault('mutability', `${part.schema.id} cannot be removed.`)
  for (const attribute of part.schema.attributes) unassign(containerOf(document, part.schema.id), attribute)
}
