/**
 * Hashing and comparison. Credentials that others present to us are 256 random bits, so a salted SHA-256 is
 * enough: there is nothing to guess (passwords, which can be guessed, are argon2id and live elsewhere).
 */
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

export const sha256 = (...parts: (Buffer | string)[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export const hmacSha256 = (key: Buffer, value: string): Buffer =>
  createHmac('sha256', key).update(value).digest()

/** Constant-time in the content; lengths are not secret. */
export const equalBytes = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** `bytes` random bytes as base64url; 32 (256 bits) unless told. */
export const randomToken = (bytes = 32): string => randomBytes(bytes).toString('base64url')

/** HKDF-SHA-256 (RFC 5869) to 32 bytes; `purpose` separates the uses of one secret. */
export const deriveKey = (secret: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), purpose, 32))
