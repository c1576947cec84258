import type { Attribute } from './attribute.ts'
import { readAttributePath } from './filter-parser.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import { attributesOf, type ResourceType, resolvePath } from './resource-types.ts'

/** Which attributes an answer holds (RFC 7644 section 3.9). */
export type Projection = { kind: 'default' } | { kind: 'only' | 'without'; names: readonly string[] }

const names = (list: string): string[] =>
  list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')

/** From the query's `attributes` and `excludedAttributes`; where both are given, the first decides. */
export const readProjection = (attributes?: string, excluded?: string): Projection => {
  if (attributes !== undefined && names(attributes).length > 0)
    return { kind: 'only', names: names(attributes) }
  if (excluded !== undefined && names(excluded).length > 0) return { kind: 'without', names: names(excluded) }
  return { kind: 'default' }
}

const address = (extension: string | null, attribute: Attribute, sub: string | null = null): string =>
  [extension ?? '', attribute.name, sub ?? ''].join('\n')

/** The attributes named, with their sub-attributes where those are named; names that mean nothing are passed over. */
const named = (type: ResourceType, projection: readonly string[]): Set<string> => {
  const found = new Set<string>()
  for (const name of projection) {
    const path = readAttributePath(name)
    const target = path && resolvePath(type, path)
    if (target?.kind === 'extension') {
      const extension = target.part === type.core ? null : target.part.schema.id
      for (const attribute of target.part.schema.attributes) found.add(address(extension, attribute))
    } else if (target) found.add(address(target.extension, target.attribute, target.sub?.name))
  }
  return found
}

const parts = (value: Json, keep: (name: string) => boolean): Json => {
  if (Array.isArray(value)) return value.map((element) => parts(element, keep))
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([name]) => keep(name))) : value
}

const pick = (
  value: Json,
  attribute: Attribute,
  extension: string | null,
  projection: Projection,
  chosen: ReadonlySet<string>,
): Json | undefined => {
  if (attribute.returned === 'never') return undefined
  if (attribute.returned === 'always') return value
  if (projection.kind === 'default') return attribute.returned === 'request' ? undefined : value
  const whole = chosen.has(address(extension, attribute))
  const sub = (name: string): boolean => chosen.has(address(extension, attribute, name))
  if (projection.kind === 'without') return whole ? undefined : parts(value, (name) => !sub(name))
  if (whole) return value
  return (attribute.subAttributes ?? []).some(({ name }) => sub(name)) ? parts(value, sub) : undefined
}

/** The representation with the attributes that were asked for, and always those that are always returned. */
export const project = (type: ResourceType, resource: JsonObject, projection: Projection): JsonObject => {
  const chosen = projection.kind === 'default' ? new Set<string>() : named(type, projection.names)
  const shown: JsonObject = {}
  for (const { extension, attribute } of attributesOf(type)) {
    const value = (extension === null ? resource : objectAt(resource, extension))[attribute.name]
    const kept = value === undefined ? undefined : pick(value, attribute, extension, projection, chosen)
    if (kept === undefined) continue
    if (extension === null) shown[attribute.name] = kept
    else shown[extension] = { ...objectAt(shown, extension), [attribute.name]: kept }
  }
  return shown
}

const objectAt = (holder: JsonObject, name: string): JsonObject => {
  const value = holder[name]
  return isObject(value) ? value : {}
}
