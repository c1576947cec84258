/**
 * The PATCH engine (RFC 7644 section 3.5.2): operations applied in order to a copy of a document, all or none. Values
 * are coerced by the schema on the way in; what a profile relaxes is in its rules. Knows no user and no database.
 */
import { unknownAttribute } from './coerce.ts'
import { dropEmpty } from './document.ts'
import { scimFault } from './faults.ts'
import { parsePath } from './filter-parser.ts'
import { isObject, type JsonObject } from './json.ts'
import type { Operation } from './patch-request.ts'
import { type ResourceType, resolvePath } from './resource-types.ts'
import {
  type Located,
  locate,
  removeAt,
  removeExtension,
  type WriteRules,
  writeAt,
  writeExtension,
  writeObject,
} from './write.ts'

const demandSameId = (document: JsonObject, value: JsonObject): void => {
  // Okta repeats the ID in every rename. The same one changes nothing; another one is a client on the wrong resource.
  if (value.id !== undefined && value.id !== null && value.id !== document.id) {
    throw scimFault('mutability', 'id is read-only.')
  }
}

const applyWhole = (
  type: ResourceType,
  document: JsonObject,
  { op, value }: Operation,
  rules: WriteRules,
): void => {
  if (op === 'remove') throw scimFault('no_target', 'A remove operation needs a path.')
  if (!isObject(value)) {
    throw scimFault(
      'invalid_value',
      'An operation without a path needs an object of attributes as its value.',
    )
  }
  demandSameId(document, value)
  const known = writeObject(type, document, value, { mode: op, rules })
  // A success that did nothing would be a lie.
  if (known === 0 && Object.keys(value).length > 0) {
    throw scimFault('invalid_path', 'The operation names no attribute that exists.')
  }
}

/** Naming `schemas`, or a read-only attribute with the value it has, changes nothing and is no fault. */
const changesNothing = (document: JsonObject, at: Located, { op, value }: Operation): boolean => {
  if (op === 'remove') return false
  if (at.attribute.name === 'schemas') return true
  return at.attribute.mutability === 'readOnly' && document[at.attribute.name] === value
}

const applyAt = (
  type: ResourceType,
  document: JsonObject,
  operation: Operation,
  text: string,
  rules: WriteRules,
): void => {
  const { op } = operation
  const path = parsePath(text)
  const target = resolvePath(type, path.path)
  if (!target) throw unknownAttribute('invalid_path', text)
  if (op !== 'remove' && operation.value === undefined) {
    throw scimFault('invalid_value', `An ${op} operation needs a value.`)
  }
  const value = operation.value ?? null
  if (target.kind === 'extension') {
    if (path.filter) throw scimFault('invalid_path', 'An extension takes no filter.')
    if (op === 'remove') removeExtension(type, document, target.part)
    else writeExtension(type, document, target.part, { mode: op, value, rules })
    return
  }
  const at = locate(target, path, text)
  if (changesNothing(document, at, operation)) return
  if (op === 'remove') removeAt(document, at, operation.value, rules)
  else writeAt(document, at, { mode: op, value, rules })
}

/**
 * The document after all operations; `before` stays as it was, also when one fails.
 * @throws AppError `invalid`: `invalid_path`, `invalid_filter`, `invalid_value`, `no_target`, `mutability`
 */
export const applyPatch = (
  type: ResourceType,
  before: JsonObject,
  operations: readonly Operation[],
  rules: WriteRules,
): JsonObject => {
  const document = structuredClone(before)
  for (const operation of operations) {
    if (operation.path === null) applyWhole(type, document, operation, rules)
    else applyAt(type, document, operation, operation.path, rules)
  }
  return dropEmpty(document)
}
