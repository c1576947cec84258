import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AppError } from '../core/errors.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * AES-256-GCM under a random nonce: `nonce ‖ ciphertext ‖ tag`.
 * `aad` names the place the ciphertext belongs to, so that moved elsewhere it does not open.
 */
export const sealBytes = (key: Buffer, aad: string, plaintext: Buffer): Buffer => {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(aad))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** @throws AppError `internal`/`unsealing_failed`: wrong key, moved or changed ciphertext; which one is not said */
export const openBytes = (key: Buffer, aad: string, sealed: Buffer): Buffer => {
  try {
    const nonce = sealed.subarray(0, NONCE_BYTES)
    const tag = sealed.subarray(sealed.length - TAG_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(aad))
      .setAuthTag(tag)
    const body = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)
    return Buffer.concat([decipher.update(body), decipher.final()])
  } catch (cause) {
    throw new AppError('internal', 'unsealing_failed', 'A stored secret could not be opened.', {
      cause,
    })
  }
}
