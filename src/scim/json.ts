import { scimFault } from './faults.ts'

/** What JSON.parse can give. */
export type Json = string | number | boolean | null | Json[] | JsonObject
export type JsonObject = { [key: string]: Json }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const MAX_DEPTH = 24
// Keys that reach a prototype in a careless merge; no SCIM attribute is called so.
const POISON: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

export const isPoison = (key: string): boolean => POISON.has(key)

const within = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value
  if (!isObject(value)) return []
  if (Object.keys(value).some(isPoison)) {
    throw scimFault('invalid_syntax', 'The body holds a key that is not allowed.')
  }
  return Object.values(value)
}

/**
 * Refuses a body nested deeper than any SCIM document, or with a key that could reach a prototype, at any depth.
 * Level by level: the refusal must not itself overflow the stack. What passes may be walked recursively.
 * @throws AppError `invalid`/`invalid_syntax`
 */
export const demandHarmless = (body: unknown): void => {
  let level: unknown[] = [body]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw scimFault('invalid_syntax', 'The body is nested too deeply.')
    level = level.flatMap(within)
  }
}
