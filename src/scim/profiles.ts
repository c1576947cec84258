import { AppError } from '../core/errors.ts'

/**
 * How an IdP speaks SCIM, chosen when its directory is made. Only what changes meaning is here; leniency that cannot
 * hurt (letter case, "True", a value for a list of one) is for everyone. `generic` is RFC 7644 to the letter.
 */
export type Profile = {
  readonly label: string
  readonly contentType: 'application/scim+json' | 'application/json'
  /** Section 3.5.2 allows both; some clients read the body, some choke on it. */
  readonly patchAnswer: 'body' | 'empty'
  /** A PATCH without operations: an error by section 3.5.2, sent by Entra's validator all the same. */
  readonly emptyOperations: 'refused' | 'accepted'
  /**
   * A value path that matches nothing: `noTarget` by section 3.5.2.3; Entra expects `replace` to make the element, and
   * a repeated `remove` to be content.
   */
  readonly unmatchedPath: 'refused' | 'created'
  /** A body without `schemas`. */
  readonly missingSchemas: 'refused' | 'accepted'
  readonly bareWords: boolean
  readonly unpackJsonValues: boolean
}

const strict: Profile = {
  label: 'any SCIM 2.0 client',
  contentType: 'application/scim+json',
  patchAnswer: 'body',
  emptyOperations: 'refused',
  unmatchedPath: 'refused',
  missingSchemas: 'refused',
  bareWords: false,
  unpackJsonValues: false,
}

const lenient: Profile = { ...strict, unmatchedPath: 'created', missingSchemas: 'accepted' }

const profiles = {
  generic: strict,
  okta: { ...lenient, label: 'Okta' },
  entra: {
    ...lenient,
    label: 'Microsoft Entra ID',
    patchAnswer: 'empty',
    emptyOperations: 'accepted',
    bareWords: true,
    unpackJsonValues: true,
  },
  google: { ...lenient, label: 'Google Workspace' },
  onelogin: { ...lenient, label: 'OneLogin', contentType: 'application/json' },
  jumpcloud: { ...lenient, label: 'JumpCloud' },
  ping: { ...lenient, label: 'Ping Identity' },
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof profiles

export const profileNames = Object.keys(profiles) as ProfileName[]

const isProfileName = (name: string): name is ProfileName => Object.hasOwn(profiles, name)

/** @throws AppError `invalid`/`unknown_profile` naming those there are */
export const profileName = (name: string): ProfileName => {
  if (isProfileName(name)) return name
  throw new AppError(
    'invalid',
    'unknown_profile',
    `There is no directory profile of that name; there are ${profileNames.join(', ')}.`,
  )
}

export const profileOf = (name: ProfileName): Profile => profiles[name]
