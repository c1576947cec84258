import {
  type Attribute,
  complex,
  dateTime,
  reference,
  type Schema,
  string,
  subAttribute,
} from './attribute.ts'
import type { AttributePath } from './filter-parser.ts'
import { enterpriseUserSchema, userSchema } from './user-schema.ts'

/** RFC 7643 section 3.1, and `schemas` itself: on every resource, listed in no schema. */
const commonAttributes: readonly Attribute[] = [
  string('schemas', 'The schemas this resource has attributes of.', {
    multiValued: true,
    required: true,
    caseExact: true,
    returned: 'always',
  }),
  string('id', 'The ID given by Portico.', {
    mutability: 'readOnly',
    returned: 'always',
    uniqueness: 'global',
    caseExact: true,
  }),
  string('externalId', 'The ID in the directory it comes from.', { caseExact: true, maxLength: 512 }),
  complex(
    'meta',
    'About the resource itself.',
    [
      string('resourceType', 'The type of the resource.', { caseExact: true, mutability: 'readOnly' }),
      dateTime('created', 'When it was created.', { mutability: 'readOnly' }),
      dateTime('lastModified', 'When it last changed.', { mutability: 'readOnly' }),
      reference('location', 'Where it is.', ['uri'], { mutability: 'readOnly' }),
      string('version', 'Its version, an entity tag.', { caseExact: true, mutability: 'readOnly' }),
    ],
    { mutability: 'readOnly' },
  ),
]

/** One schema of a resource type, with its attributes by lower-case name. */
export type SchemaPart = { schema: Schema; byName: ReadonlyMap<string, Attribute> }

/** A kind of resource: its schemas, and the one place that turns a path into the attribute it names. */
export type ResourceType = {
  readonly name: string
  readonly endpoint: string
  readonly description: string
  readonly core: SchemaPart
  readonly extensions: readonly SchemaPart[]
}

/** Where a path leads: an attribute (in an extension or not), perhaps a sub-attribute; or a whole extension. */
export type Target =
  | { kind: 'attribute'; extension: string | null; attribute: Attribute; sub: Attribute | null }
  | { kind: 'extension'; part: SchemaPart }

const partOf = (schema: Schema, more: readonly Attribute[] = []): SchemaPart => ({
  schema,
  byName: new Map(
    [...more, ...schema.attributes].map((attribute) => [attribute.name.toLowerCase(), attribute]),
  ),
})

export const defineResourceType = (definition: {
  name: string
  endpoint: string
  description: string
  core: Schema
  extensions: readonly Schema[]
}): ResourceType => ({
  ...definition,
  core: partOf(definition.core, commonAttributes),
  extensions: definition.extensions.map((schema) => partOf(schema)),
})

export const userType = defineResourceType({
  name: 'User',
  endpoint: '/Users',
  description: 'People who sign in.',
  core: userSchema,
  extensions: [enterpriseUserSchema],
})

/** Every attribute of a type with the extension that holds it, in the order of its schemas. */
export const attributesOf = (type: ResourceType): { extension: string | null; attribute: Attribute }[] => [
  ...[...type.core.byName.values()].map((attribute) => ({ extension: null, attribute })),
  ...type.extensions.flatMap((part) =>
    part.schema.attributes.map((attribute) => ({ extension: part.schema.id, attribute })),
  ),
]

const partNamed = (type: ResourceType, uri: string): SchemaPart | null => {
  const wanted = uri.toLowerCase()
  return [type.core, ...type.extensions].find((part) => part.schema.id.toLowerCase() === wanted) ?? null
}

/** The attribute that `path` names inside one schema, or null. */
export const resolveIn = (type: ResourceType, part: SchemaPart, path: AttributePath): Target | null => {
  const attribute = part.byName.get(path.name.toLowerCase())
  if (!attribute) return null
  const sub = path.sub === null ? null : subAttribute(attribute, path.sub)
  if (path.sub !== null && !sub) return null
  return { kind: 'attribute', extension: part === type.core ? null : part.schema.id, attribute, sub }
}

/**
 * What a path names, or null. Without a URN the core schema comes first, then the extensions: Entra sends `manager`
 * bare. A URN alone names the whole extension, which reads like an attribute called `User` of a shorter URN.
 */
export const resolvePath = (type: ResourceType, path: AttributePath): Target | null => {
  if (path.urn !== null) {
    const whole = path.sub === null ? partNamed(type, `${path.urn}:${path.name}`) : null
    if (whole) return { kind: 'extension', part: whole }
    const part = partNamed(type, path.urn)
    return part && resolveIn(type, part, path)
  }
  for (const part of [type.core, ...type.extensions]) {
    const target = resolveIn(type, part, path)
    if (target) return target
  }
  return null
}
