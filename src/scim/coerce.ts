import { type Attribute, subAttribute } from './attribute.ts'
import { scimFault, shown } from './faults.ts'
import { isObject, type Json, type JsonObject } from './json.ts'

/** What a profile may relax in reading values. */
export type CoercionRules = {
  /** Entra puts whole role objects, as JSON text, into `value`. */
  unpackJsonValues: boolean
}

const MAX_VALUES = 250
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/
// jsonb takes neither NUL nor half a surrogate pair; better a 400 here than a failed statement.
// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what is looked for
const UNSTORABLE = /\u0000|\p{Surrogate}/u
const DATE_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?$/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

const invalid = (attribute: Attribute, wanted: string): Error =>
  scimFault('invalid_value', `${attribute.name} has to be ${wanted}.`)

const asString = (attribute: Attribute, value: Json): string => {
  if (typeof value !== 'string') throw invalid(attribute, 'a string')
  if (UNSTORABLE.test(value)) throw invalid(attribute, 'text of whole Unicode characters')
  if (attribute.maxLength === undefined) return value
  // The capped ones are identifiers that people compare by eye; a control character in one is a disguise.
  if (CONTROL.test(value)) throw invalid(attribute, 'free of control characters')
  if ([...value].length > attribute.maxLength) {
    throw invalid(attribute, `${attribute.maxLength} characters long at most`)
  }
  if (attribute.required && value.trim() === '') throw invalid(attribute, 'more than spaces')
  return value
}

const asBoolean = (attribute: Attribute, value: Json): boolean => {
  if (typeof value === 'boolean') return value
  // Entra sends "True" and "False" unless its compatibility flag is set.
  const word = typeof value === 'string' ? value.toLowerCase() : ''
  if (word === 'true' || word === 'false') return word === 'true'
  throw invalid(attribute, 'true or false')
}

const asNumber = (attribute: Attribute, value: Json): number => {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(attribute, 'a number')
  if (attribute.type === 'integer' && !Number.isSafeInteger(value)) throw invalid(attribute, 'a whole number')
  return value
}

const matching = (
  attribute: Attribute,
  value: Json,
  holds: (text: string) => boolean,
  wanted: string,
): string => {
  const text = asString(attribute, value)
  if (!holds(text)) throw invalid(attribute, wanted)
  return text
}

/** One simple value in the attribute's type. @throws AppError `invalid`/`invalid_value` */
export const coerceSimple = (attribute: Attribute, value: Json): Json => {
  switch (attribute.type) {
    case 'boolean':
      return asBoolean(attribute, value)
    case 'integer':
    case 'decimal':
      return asNumber(attribute, value)
    case 'dateTime':
      return matching(
        attribute,
        value,
        (text) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)),
        'a date and time such as 2026-01-31T08:00:00Z',
      )
    case 'binary':
      return matching(attribute, value, (text) => text.length % 4 === 0 && BASE64.test(text), 'base64')
    default:
      return asString(attribute, value)
  }
}

const unpacked = (value: JsonObject, rules: CoercionRules): JsonObject => {
  if (!rules.unpackJsonValues || typeof value.value !== 'string' || !value.value.startsWith('{')) return value
  try {
    const inner: unknown = JSON.parse(value.value)
    if (!isObject(inner) || inner.value === undefined) return value
    const { displayName, value: packed } = inner
    return { ...value, value: packed, ...(displayName === undefined ? {} : { display: displayName }) }
  } catch {
    return value // not JSON after all
  }
}

/**
 * The sub-attributes that `value` sets, by canonical name; null: to be unassigned. Unknown and read-only ones are left
 * out. A bare scalar stands for `value` where the attribute has one: Entra sends a manager as a string.
 */
export const coerceComplex = (attribute: Attribute, value: Json, rules: CoercionRules): JsonObject => {
  if (!isObject(value)) {
    if (Array.isArray(value) || !subAttribute(attribute, 'value')) throw invalid(attribute, 'an object')
    return coerceComplex(attribute, { value }, rules)
  }
  const parts: JsonObject = {}
  for (const [key, part] of Object.entries(unpacked(value, rules))) {
    const sub = subAttribute(attribute, key)
    if (!sub || sub.mutability === 'readOnly') continue
    parts[sub.name] = part === null ? null : coerceSingle(sub, part)
  }
  return parts
}

/** `[x]` is read as `x` where one value is wanted: Entra sends a manager so. */
export const unwrap = (attribute: Attribute, value: Json): Json => {
  if (!Array.isArray(value)) return value
  if (value.length > 1) throw invalid(attribute, 'one value')
  return value[0] ?? null
}

const coerceSingle = (attribute: Attribute, value: Json): Json => {
  const one = unwrap(attribute, value)
  return one === null ? null : coerceSimple(attribute, one)
}

/** A multi-valued attribute's elements; one bare value is read as an array of it, nulls are left out. */
export const coerceElements = (attribute: Attribute, value: Json, rules: CoercionRules): Json[] => {
  const given = Array.isArray(value) ? value : [value]
  demandFew(attribute, given)
  const elements: Json[] = []
  for (const item of given) {
    if (item === null) continue
    if (attribute.type !== 'complex') elements.push(coerceSimple(attribute, item))
    else {
      const element = withoutNulls(coerceComplex(attribute, item, rules))
      if (Object.keys(element).length > 0) elements.push(element)
    }
  }
  return elements
}

/** Comparing each value with each is quadratic: the cap keeps a hostile body cheap. */
export const demandFew = (attribute: Attribute, elements: readonly unknown[]): void => {
  if (elements.length > MAX_VALUES) throw invalid(attribute, `a list of ${MAX_VALUES} values at most`)
}

export const withoutNulls = (object: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null))

/** For faults about a name that came from outside. */
export const unknownAttribute = (code: 'invalid_path' | 'invalid_filter', name: string): Error =>
  scimFault(code, `There is no attribute ${shown(name)}.`)
