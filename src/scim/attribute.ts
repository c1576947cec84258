/** One attribute as RFC 7643 section 7 describes it: what validation, comparison, projection and /Schemas go by. */
export type Attribute = {
  readonly name: string
  readonly type:
    | 'string'
    | 'boolean'
    | 'decimal'
    | 'integer'
    | 'dateTime'
    | 'binary'
    | 'reference'
    | 'complex'
  readonly multiValued: boolean
  readonly description: string
  readonly required: boolean
  readonly caseExact: boolean
  readonly mutability: 'readOnly' | 'readWrite' | 'immutable' | 'writeOnly'
  readonly returned: 'always' | 'never' | 'default' | 'request'
  readonly uniqueness: 'none' | 'server' | 'global'
  readonly canonicalValues?: readonly string[]
  readonly referenceTypes?: readonly string[]
  readonly subAttributes?: readonly Attribute[]
  /** Longest value in characters; not part of RFC 7643, and not shown in /Schemas. */
  readonly maxLength?: number
}

export type Schema = {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly attributes: readonly Attribute[]
}

type Options = Partial<Omit<Attribute, 'name' | 'type' | 'description'>>

const attribute = (
  name: string,
  type: Attribute['type'],
  description: string,
  options: Options = {},
): Attribute => ({
  name,
  type,
  description,
  multiValued: false,
  required: false,
  // RFC 7643 section 2.3.7 and 2.3.6: references and binaries are case-exact, whatever else is not.
  caseExact: type === 'reference' || type === 'binary',
  mutability: 'readWrite',
  returned: 'default',
  uniqueness: 'none',
  ...options,
})

export const string = (name: string, description: string, options?: Options): Attribute =>
  attribute(name, 'string', description, options)

export const boolean = (name: string, description: string, options?: Options): Attribute =>
  attribute(name, 'boolean', description, options)

export const dateTime = (name: string, description: string, options?: Options): Attribute =>
  attribute(name, 'dateTime', description, options)

export const binary = (name: string, description: string, options?: Options): Attribute =>
  attribute(name, 'binary', description, options)

export const reference = (
  name: string,
  description: string,
  referenceTypes: readonly string[],
  options?: Options,
): Attribute => attribute(name, 'reference', description, { referenceTypes, ...options })

export const complex = (
  name: string,
  description: string,
  subAttributes: readonly Attribute[],
  options?: Options,
): Attribute => attribute(name, 'complex', description, { subAttributes, ...options })

/**
 * A multi-valued complex attribute with the sub-attributes of RFC 7643 section 2.4: `value`, `display`, `type` and
 * `primary`.
 */
export const plural = (
  name: string,
  description: string,
  value: Attribute,
  canonicalTypes: readonly string[] = [],
): Attribute =>
  complex(
    name,
    description,
    [
      value,
      string('display', 'A name to show for this value.'),
      string(
        'type',
        'What this value is for.',
        canonicalTypes.length > 0 ? { canonicalValues: canonicalTypes } : {},
      ),
      boolean('primary', 'Whether this value is the preferred one; true at most once.'),
    ],
    { multiValued: true },
  )

/** The sub-attribute of that name (names are case-insensitive, RFC 7643 section 2.1), or null. */
export const subAttribute = (of: Attribute, name: string): Attribute | null => {
  const wanted = name.toLowerCase()
  return of.subAttributes?.find((sub) => sub.name.toLowerCase() === wanted) ?? null
}
