import { AppError } from '../core/errors.ts'

/** The `scimType` values of RFC 7644 section 3.12 that Portico raises, by the stable code of the error. */
export const scimTypes = {
  invalid_filter: 'invalidFilter',
  invalid_syntax: 'invalidSyntax',
  invalid_path: 'invalidPath',
  invalid_value: 'invalidValue',
  no_target: 'noTarget',
  mutability: 'mutability',
  user_name_taken: 'uniqueness',
  external_id_taken: 'uniqueness',
} as const satisfies Record<string, string>

type RequestFault = Exclude<keyof typeof scimTypes, 'user_name_taken' | 'external_id_taken'>

/** A request that can never succeed as sent. `message` is shown to the IdP's admin: it names the attribute, never its value. */
export const scimFault = (code: RequestFault, message: string): AppError =>
  new AppError('invalid', code, message)

/** Attribute names and paths come from outside: shortened, so that no answer grows with its request. */
export const shown = (name: string): string => (name.length > 80 ? `${name.slice(0, 80)}…` : name)
