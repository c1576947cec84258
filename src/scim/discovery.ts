import type { Attribute, Schema } from './attribute.ts'
import type { Json, JsonObject } from './json.ts'
import { MAX_RESULTS } from './list-query.ts'
import { type ResourceType, userType } from './resource-types.ts'

/** The resource types that are served; all that discovery says follows from them. */
const served: readonly ResourceType[] = [userType]

const schemasServed = (): Schema[] =>
  served.flatMap((type) => [type.core, ...type.extensions].map((part) => part.schema))

/** RFC 7644 section 3.4.2. */
export const listResponse = (
  resources: readonly JsonObject[],
  total: number,
  startIndex = 1,
): JsonObject => ({
  schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
  totalResults: total,
  startIndex,
  itemsPerPage: resources.length,
  Resources: [...resources],
})

/** RFC 7643 section 5: what is offered, and nothing else. @param base the directory's URL */
export const serviceProviderConfig = (base: string): JsonObject => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
  patch: { supported: true },
  bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
  filter: { supported: true, maxResults: MAX_RESULTS },
  changePassword: { supported: false },
  sort: { supported: false },
  etag: { supported: true },
  authenticationSchemes: [
    {
      type: 'oauthbearertoken',
      name: 'Bearer token',
      description: 'The token that was shown when the directory was made, in the Authorization header.',
      specUri: 'https://www.rfc-editor.org/info/rfc6750',
      primary: true,
    },
  ],
  meta: { resourceType: 'ServiceProviderConfig', location: `${base}/ServiceProviderConfig` },
})

const renderType = (type: ResourceType, base: string): JsonObject => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:ResourceType'],
  id: type.name,
  name: type.name,
  description: type.description,
  endpoint: type.endpoint,
  schema: type.core.schema.id,
  schemaExtensions: type.extensions.map((part) => ({ schema: part.schema.id, required: false })),
  meta: { resourceType: 'ResourceType', location: `${base}/ResourceTypes/${type.name}` },
})

// RFC 7643 section 7: what only strings and references have is left out elsewhere.
const renderAttribute = (attribute: Attribute): JsonObject => {
  const {
    maxLength: _ours,
    subAttributes,
    caseExact,
    uniqueness,
    canonicalValues,
    referenceTypes,
    ...rest
  } = attribute
  const textual = attribute.type === 'string' || attribute.type === 'reference' || attribute.type === 'binary'
  return {
    ...rest,
    ...(textual ? { caseExact, uniqueness } : {}),
    ...(canonicalValues ? { canonicalValues: [...canonicalValues] } : {}),
    ...(referenceTypes ? { referenceTypes: [...referenceTypes] } : {}),
    ...(subAttributes ? { subAttributes: subAttributes.map(renderAttribute) as Json[] } : {}),
  }
}

const renderSchema = (schema: Schema, base: string): JsonObject => ({
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:Schema'],
  id: schema.id,
  name: schema.name,
  description: schema.description,
  attributes: schema.attributes.map(renderAttribute),
  meta: { resourceType: 'Schema', location: `${base}/Schemas/${schema.id}` },
})

export const resourceTypes = (base: string): JsonObject[] => served.map((type) => renderType(type, base))

export const schemas = (base: string): JsonObject[] =>
  schemasServed().map((schema) => renderSchema(schema, base))
