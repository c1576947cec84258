import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { newUuid } from '../core/ids.ts'
import { sha256 } from './hash.ts'

/**
 * What others present to us. The ID finds the row and, where the credential belongs to a tenant, the
 * organisation rides along: so row security is set before the first look-up, and the tenant comes from
 * the credential alone.
 *
 *   ptc_<kind>_<org + id, 32 bytes hex><secret, 32 bytes base64url>  — never leaves a browser or an app
 *   ptc_<kind>_live_<org + id, hex>_<secret, base64url><crc32, 8 hex> — copied about by people; the shape and
 *   the checksum let a secret scanner find a leaked one and tell it from noise.
 */
export type CredentialKind = 'session' | 'code' | 'refresh' | 'scim' | 'client'

const COPIED_ABOUT: ReadonlySet<CredentialKind> = new Set(['scim', 'client'])
const NO_ORG = '00000000000000000000000000000000'

export type ParsedCredential = {
  orgId: string | null
  id: string
  /** What was presented, as storage keeps it: compare with the row's `hash` by `equalBytes`. */
  hash: Buffer
  secret: Buffer
}

const crc = (text: string): string => crc32(text).toString(16).padStart(8, '0')

const toHex = (uuid: string): string => uuid.replaceAll('-', '')

const toUuid = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`

/**
 * SHA-256(salt ‖ secret), where the salt is the credential's own place (organisation and row): unique without a column
 * of its own, and a hash copied to another row or tenant matches nothing.
 */
const hashAt = (place: string, secret: Buffer): Buffer => sha256(Buffer.from(place, 'hex'), secret)

/** A new credential: `token` is shown once, `hash` is kept. */
export const mintCredential = (
  kind: CredentialKind,
  orgId: string | null,
  id: string = newUuid(),
): { id: string; token: string; hash: Buffer } => {
  const secret = randomBytes(32)
  const place = `${orgId === null ? NO_ORG : toHex(orgId)}${toHex(id)}`
  const tail = secret.toString('base64url')
  const token = COPIED_ABOUT.has(kind)
    ? withChecksum(`ptc_${kind}_live_${place}_${tail}`)
    : `ptc_${kind}_${place}${tail}`
  return { id, token, hash: hashAt(place, secret) }
}

const withChecksum = (body: string): string => `${body}${crc(body)}`

/** The parts of a presented credential, or null where the shape, the kind or the checksum is off. */
export const parseCredential = (kind: CredentialKind, token: string): ParsedCredential | null => {
  const pattern = COPIED_ABOUT.has(kind)
    ? /^ptc_([a-z]+)_live_([0-9a-f]{32})([0-9a-f]{32})_([A-Za-z0-9_-]{43})([0-9a-f]{8})$/
    : /^ptc_([a-z]+)_([0-9a-f]{32})([0-9a-f]{32})([A-Za-z0-9_-]{43})$/
  const match = token.length > 200 ? null : pattern.exec(token)
  if (!match || match[1] !== kind) return null
  const [, , org, id, secret, checksum] = match as unknown as string[]
  if (checksum !== undefined && crc(token.slice(0, -8)) !== checksum) return null
  const bytes = Buffer.from(secret as string, 'base64url')
  // 43 base64url characters hold 258 bits: of the spellings that decode alike, only the canonical one is taken.
  if (bytes.toString('base64url') !== secret) return null
  return {
    orgId: org === NO_ORG ? null : toUuid(org as string),
    id: toUuid(id as string),
    hash: hashAt(`${org}${id}`, bytes),
    secret: bytes,
  }
}
