import { TypeID } from 'typeid-js'
import { AppError } from './errors.ts'

/** Every public ID carries its kind; the column behind it is a plain UUIDv7, and the prefix lives at the edge. */
export type IdPrefix = 'org' | 'con' | 'dir' | 'usr' | 'grp' | 'ses' | 'cli' | 'evt' | 'dom'

/** A fresh, time-sortable UUIDv7 (RFC 9562 section 5.7). */
export const newUuid = (): string => new TypeID('').toUUID()

/** `toId('usr', uuid)` gives `usr_01h…` (TypeID). */
export const toId = (prefix: IdPrefix, uuid: string): string => TypeID.fromUUID(prefix, uuid).toString()

/** The UUID inside a typed ID, or null where it is malformed or of another kind. */
export const parseId = (prefix: IdPrefix, id: string): string | null => {
  try {
    return TypeID.fromString(id, prefix).toUUID()
  } catch {
    return null
  }
}

/**
 * The UUID inside a typed ID.
 * @throws AppError `not_found`: a malformed ID names nothing, and says no more than an unknown one does
 */
export const fromId = (prefix: IdPrefix, id: string): string => {
  const uuid = parseId(prefix, id)
  if (uuid === null) {
    throw new AppError('not_found', 'not_found', `There is no ${id.slice(0, 64)} here.`)
  }
  return uuid
}
