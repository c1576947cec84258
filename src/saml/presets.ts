/**
 * What each product calls the attributes of a person, as its documentation or its default mapping has it; the first
 * name of a list that an assertion has is taken. Sources: `source` in fixtures/saml/good/<vendor>/params.json.
 */

/** Which facts about a person are read, each from a list of attribute names. */
export const FACTS = ['email', 'displayName', 'givenName', 'familyName', 'groups', 'externalId'] as const

export type Fact = (typeof FACTS)[number]
export type AttributeNames = Readonly<Record<Fact, readonly string[]>>

const WS = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims'
const MS = 'http://schemas.microsoft.com'

/** Okta and Google have no names of their own: the admin types them, and these are the ones their guides show. */
const typed: AttributeNames = {
  email: ['email', 'mail', 'Email', 'emailAddress'],
  displayName: ['displayName', 'name'],
  givenName: ['firstName', 'givenName', 'first_name', 'FirstName'],
  familyName: ['lastName', 'familyName', 'last_name', 'surname', 'LastName'],
  groups: ['groups', 'Groups', 'group'],
  externalId: ['externalId'],
}

const entra: AttributeNames = {
  email: [`${WS}/emailaddress`],
  displayName: [`${MS}/identity/claims/displayname`],
  givenName: [`${WS}/givenname`],
  familyName: [`${WS}/surname`],
  groups: [`${MS}/ws/2008/06/identity/claims/groups`],
  externalId: [`${MS}/identity/claims/objectidentifier`],
}

const adfs: AttributeNames = {
  ...entra,
  displayName: [`${WS}/name`, 'http://schemas.xmlsoap.org/claims/CommonName'],
  groups: ['http://schemas.xmlsoap.org/claims/Group'],
  externalId: ['externalId'],
}

const ping: AttributeNames = {
  ...typed,
  email: ['email', 'mail'],
  displayName: ['displayName', 'name', 'cn'],
  givenName: ['given_name', 'givenName', 'firstName'],
  familyName: ['family_name', 'sn', 'lastName'],
  groups: ['groups', 'memberOf'],
}

const onelogin: AttributeNames = {
  email: ['User.email', 'email'],
  displayName: ['displayName'],
  givenName: ['User.FirstName', 'firstName'],
  familyName: ['User.LastName', 'lastName'],
  groups: ['memberOf', 'groups'],
  externalId: ['PersonImmutableID', 'externalId'],
}

/** The object identifiers of inetOrgPerson (RFC 2798) and eduPerson, as the SAML LDAP profile writes them. */
const shibboleth: AttributeNames = {
  email: ['urn:oid:0.9.2342.19200300.100.1.3'],
  displayName: ['urn:oid:2.16.840.1.113730.3.1.241', 'urn:oid:2.5.4.3'],
  givenName: ['urn:oid:2.5.4.42'],
  familyName: ['urn:oid:2.5.4.4'],
  groups: ['urn:oid:1.3.6.1.4.1.5923.1.5.1.1'],
  externalId: ['urn:oasis:names:tc:SAML:attribute:subject-id', 'urn:oid:1.3.6.1.4.1.5923.1.1.1.6'],
}

const keycloak: AttributeNames = {
  email: ['urn:oid:1.2.840.113549.1.9.1', 'email'],
  displayName: ['displayName', 'name'],
  givenName: ['urn:oid:2.5.4.42', 'firstName', 'givenName'],
  familyName: ['urn:oid:2.5.4.4', 'lastName', 'familyName'],
  groups: ['member', 'memberOf', 'groups'],
  externalId: ['externalId', 'id'],
}

/** Each fact under any name that a product has for it. The order decides only where an IdP sends two of them. */
const together = (...presets: AttributeNames[]): AttributeNames => {
  const names = (fact: Fact): string[] => [...new Set(presets.flatMap((preset) => preset[fact]))]
  return {
    email: names('email'),
    displayName: names('displayName'),
    givenName: names('givenName'),
    familyName: names('familyName'),
    groups: names('groups'),
    externalId: names('externalId').filter((name) => name !== 'id'),
  }
}

export const PRESETS = {
  generic: together(typed, entra, adfs, ping, onelogin, shibboleth, keycloak),
  okta: typed,
  entra,
  google: typed,
  ping,
  adfs,
  onelogin,
  shibboleth,
  keycloak,
} as const satisfies Record<string, AttributeNames>

export type Preset = keyof typeof PRESETS

export const PRESET_NAMES = Object.keys(PRESETS) as [Preset, ...Preset[]]
