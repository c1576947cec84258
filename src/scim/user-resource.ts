import { toId } from '../core/ids.ts'
import type { User, UserFields } from '../directory/user.ts'
import { dropEmpty } from './document.ts'
import { scimFault } from './faults.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import { attributesOf, userType } from './resource-types.ts'
import { type WriteRules, writeObject } from './write.ts'

const ADDRESS = /^[^\s@]+@[^\s@]+$/

const text = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/** The address that stands for the person: the primary one, else one for work, else the first. */
const mainEmail = (emails: Json | undefined): string | null => {
  if (!Array.isArray(emails)) return null
  const usable = emails
    .filter(isObject)
    .filter(({ value }) => typeof value === 'string' && ADDRESS.test(value))
  const main =
    usable.find(({ primary }) => primary === true) ??
    usable.find(({ type }) => typeof type === 'string' && type.toLowerCase() === 'work') ??
    usable[0]
  return text(main?.value)
}

/**
 * A POST or PUT body as a document: known attributes only, coerced, read-only ones left out.
 * @throws AppError `invalid`/`invalid_value` where a required attribute is missing
 */
export const readUserDocument = (body: JsonObject, rules: WriteRules): JsonObject => {
  const document: JsonObject = {}
  writeObject(userType, document, body, { mode: 'add', rules })
  for (const { attribute, extension } of attributesOf(userType)) {
    // `schemas` has been checked by then, and follows from the content.
    const demanded = attribute.required && extension === null && attribute.name !== 'schemas'
    if (demanded && document[attribute.name] === undefined) {
      throw scimFault('invalid_value', `${attribute.name} is missing.`)
    }
  }
  return dropEmpty(document)
}

/** What PATCH works on: everything a client may have written, and the ID. */
export const toUserDocument = (user: User): JsonObject => {
  const rest = user.resource as JsonObject
  const document: JsonObject = {
    ...structuredClone(rest),
    id: toId('usr', user.id),
    userName: user.userName,
    active: user.active,
  }
  const name: JsonObject = { ...(isObject(rest.name) ? rest.name : {}) }
  if (user.givenName !== null) name.givenName = user.givenName
  if (user.familyName !== null) name.familyName = user.familyName
  if (Object.keys(name).length > 0) document.name = name
  if (user.externalId !== null) document.externalId = user.externalId
  if (user.displayName !== null) document.displayName = user.displayName
  if (rest.emails === undefined && user.email !== null) {
    document.emails = [{ value: user.email, type: 'work', primary: true }]
  }
  return document
}

/**
 * The columns and the rest. `active` has to be there: a user is never switched by an attribute that went missing.
 * @throws AppError `invalid`/`mutability`
 */
export const toUserFields = (document: JsonObject): UserFields => {
  const { id: _id, userName, active, externalId, displayName, name, ...rest } = document
  if (typeof active !== 'boolean') {
    throw scimFault('mutability', 'active cannot be removed. Send false to deactivate the user.')
  }
  const { givenName, familyName, ...otherNames } = isObject(name) ? name : {}
  return {
    userName: String(userName),
    externalId: text(externalId),
    email: mainEmail(rest.emails),
    displayName: text(displayName),
    givenName: text(givenName),
    familyName: text(familyName),
    active,
    resource: Object.keys(otherNames).length > 0 ? { ...rest, name: otherNames } : rest,
  }
}

/** RFC 7644 section 3.14: weak, since two representations of one version may differ in letter, not in meaning. */
export const entityTag = (user: User): string => `W/"${user.version}"`

/** @param endpoint where Users are, without a trailing slash */
export const userLocation = (user: User, endpoint: string): string => `${endpoint}/${toId('usr', user.id)}`

/** The whole representation, in the order people read. @param endpoint where Users are, without a trailing slash */
export const renderUser = (user: User, endpoint: string): JsonObject => {
  const { id, externalId, userName, name, displayName, active, ...rest } = toUserDocument(user)
  const extensions = userType.extensions
    .map((part) => part.schema.id)
    .filter((urn) => rest[urn] !== undefined)
  const present = { id, externalId, userName, name, displayName, active, ...rest }
  return {
    schemas: [userType.core.schema.id, ...extensions],
    ...(Object.fromEntries(Object.entries(present).filter(([, value]) => value !== undefined)) as JsonObject),
    meta: {
      resourceType: userType.name,
      created: user.createdAt.toISOString(),
      lastModified: user.updatedAt.toISOString(),
      location: userLocation(user, endpoint),
      version: entityTag(user),
    },
  }
}
