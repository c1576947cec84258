import { AppError } from '../core/errors.ts'
import { scimFault } from './faults.ts'
import { isObject, type Json, type JsonObject } from './json.ts'

export type Operation = {
  op: 'add' | 'replace' | 'remove'
  path: string | null
  /** Undefined: none was sent. */
  value: Json | undefined
}

const PATCH_OP = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
const MAX_OPERATIONS = 1_000

type Rules = { emptyOperations: 'refused' | 'accepted'; missingSchemas: 'refused' | 'accepted' }

/** A member of a message, whatever the letter case of its name: clients send `Operations` and `operations`. */
const member = (object: JsonObject, name: string): Json | undefined => {
  if (object[name] !== undefined) return object[name]
  const key = Object.keys(object).find((key) => key.toLowerCase() === name.toLowerCase())
  return key === undefined ? undefined : object[key]
}

/**
 * A message or resource has to name its schema (RFC 7643 section 3.3). Others beside it are of no account.
 * @throws AppError `invalid`/`invalid_syntax`
 */
export const demandSchema = (body: JsonObject, schema: string, missing: 'refused' | 'accepted'): void => {
  const schemas = member(body, 'schemas')
  if (schemas === undefined && missing === 'accepted') return
  const names = Array.isArray(schemas) ? schemas : [schemas]
  const found = names.some((name) => typeof name === 'string' && name.toLowerCase() === schema.toLowerCase())
  if (!found) throw scimFault('invalid_syntax', `The body's schemas have to name ${schema}.`)
}

const readOperation = (given: Json): Operation => {
  if (!isObject(given)) throw scimFault('invalid_syntax', 'Each operation has to be an object.')
  const named = member(given, 'op')
  const op = typeof named === 'string' ? named.toLowerCase() : ''
  if (op !== 'add' && op !== 'replace' && op !== 'remove') {
    throw scimFault('invalid_syntax', 'Each operation needs an op of add, replace or remove.')
  }
  const path = member(given, 'path') ?? null
  if (path !== null && typeof path !== 'string') {
    throw scimFault('invalid_path', 'The path of an operation has to be a string.')
  }
  // An empty path is sent for none.
  return { op, path: path === '' ? null : path, value: member(given, 'value') }
}

/** @throws AppError `invalid`/`invalid_syntax`, or `too_large` over 1,000 operations */
export const readOperations = (body: JsonObject, rules: Rules): Operation[] => {
  demandSchema(body, PATCH_OP, rules.missingSchemas)
  const operations = member(body, 'Operations')
  if (!Array.isArray(operations)) throw scimFault('invalid_syntax', 'The body needs a list of Operations.')
  if (operations.length === 0 && rules.emptyOperations === 'refused') {
    throw scimFault('invalid_syntax', 'The body needs at least one operation.')
  }
  if (operations.length > MAX_OPERATIONS) {
    throw new AppError(
      'too_large',
      'too_many_operations',
      `A request may have ${MAX_OPERATIONS} operations at most.`,
    )
  }
  return operations.map(readOperation)
}
