/**
 * XML Encryption, the part of it that SAML uses: AES content under a key that is encrypted to us with RSA-OAEP.
 *
 * Invariants: AES-CBC is decrypted only inside a Response whose signature held (what an attacker changed never gets
 * here, which is also what stops GCM content from being relabelled as CBC); RSA 1.5 never. What is refused before the
 * key is used depends on visible text only, and says what to change. What fails from there on (a wrong key, a changed
 * ciphertext, bad padding, content that is no Assertion) is one error, with the same work done.
 */
import { constants, createDecipheriv, privateDecrypt, randomBytes } from 'node:crypto'
import { refusal } from '../connections/contract.ts'
import { CONTENT_CIPHERS, MGF_HASHES, OAEP_11, OAEP_HASHES, OAEP_MGF1P } from './names.ts'
import { checkLeaf, children, leafText, MODELS } from './shape.ts'
import { attributeOf } from './xml-tree.ts'

export type DecryptionPolicy = {
  /** PEM. Ours; the current one first. */
  keys: readonly string[]
  allowCbc: boolean
}

type ContentCipher = { cipher: string; keyBytes: number; gcm: boolean }
type Encrypted = { content: ContentCipher; oaepHash: string; wrappedKey: Buffer; body: Buffer }

const first = (elements: Element[]): Element => elements[0] as Element

const refuse = (place: string, expected: string, received: string, fix: string): Error =>
  refusal('encrypted_assertion_refused', { place, expected, received: received.slice(0, 200), fix })

/** The one error of everything that depends on the key. No cause: who may read the log may be who sent the message. */
export const decryptionFailed = (): Error =>
  refusal('decryption_failed', {
    expected: 'an Assertion that is encrypted to the certificate in our metadata',
    received: 'something that does not decrypt to one',
  })

const readContentCipher = (
  method: Element,
  cbcAdmitted: { allowed: boolean; signed: boolean },
): ContentCipher => {
  children(method, MODELS.contentMethod)
  const algorithm = attributeOf(method, 'Algorithm') ?? 'none'
  const found = CONTENT_CIPHERS.get(algorithm)
  if (!found) {
    throw refuse('EncryptedData', 'AES-GCM', algorithm, 'Choose AES-256-GCM at the identity provider.')
  }
  if (found.gcm) return found
  if (!cbcAdmitted.allowed) {
    throw refuse(
      'EncryptedData',
      'AES-GCM',
      algorithm,
      'Choose AES-256-GCM at the identity provider; or sign the whole response there and allow CBC for this connection.',
    )
  }
  if (!cbcAdmitted.signed) {
    throw refuse(
      'EncryptedData',
      'AES-GCM, or AES-CBC inside a signed Response',
      `${algorithm} in a Response without a signature`,
      'Let the identity provider sign the response and not only the assertion.',
    )
  }
  return found
}

/** node:crypto has one hash for the label and the mask: where a message names two, it cannot be read here. */
const readOaepHash = (method: Element): string => {
  const algorithm = attributeOf(method, 'Algorithm') ?? 'none'
  const fix = 'Choose RSA-OAEP with SHA-1 or SHA-256 for both digest and MGF at the identity provider.'
  if (algorithm !== OAEP_MGF1P && algorithm !== OAEP_11) {
    throw refuse('EncryptedKey', 'RSA-OAEP', algorithm, fix)
  }
  const parts = children(method, MODELS.keyMethod)
  const hashOf = (element: Element | undefined, known: ReadonlyMap<string, string>): string => {
    if (!element) return 'sha1'
    checkLeaf(element, MODELS.algorithm)
    const name = attributeOf(element, 'Algorithm') ?? 'none'
    const hash = known.get(name)
    if (hash === undefined) throw refuse(element.localName, [...known.keys()].join(' or '), name, fix)
    return hash
  }
  const digest = hashOf(parts['ds:DigestMethod'][0], OAEP_HASHES)
  const mask = algorithm === OAEP_11 ? hashOf(parts['xenc11:MGF'][0], MGF_HASHES) : 'sha1'
  if (digest !== mask) throw refuse('EncryptedKey', 'one hash for both', `${digest}, MGF1 ${mask}`, fix)
  return digest
}

const readCipherValue = (cipherData: Element): Buffer => {
  const [value] = children(cipherData, MODELS.cipherData)['xenc:CipherValue']
  return Buffer.from(leafText(value as Element, MODELS.text).replace(/[ \t\r\n]/g, ''), 'base64')
}

/** EncryptedKey stands in the KeyInfo of what it opens, or beside it. */
const demandEncryptedKey = (encryptedAssertion: Element, keyInfo: Element | undefined): Element => {
  const beside = children(encryptedAssertion, MODELS.encryptedAssertion)['xenc:EncryptedKey']
  const within = keyInfo ? children(keyInfo, MODELS.contentKeyInfo)['xenc:EncryptedKey'] : []
  const [key, ...others] = [...within, ...beside]
  if (key && others.length === 0) return key
  throw refusal('structure_refused', {
    element: 'EncryptedAssertion',
    expected: 'one EncryptedKey',
    received: key ? 'two' : 'none',
  })
}

const read = (element: Element, cbcAdmitted: { allowed: boolean; signed: boolean }): Encrypted => {
  const [encryptedData] = children(element, MODELS.encryptedAssertion)['xenc:EncryptedData']
  const data = children(encryptedData as Element, MODELS.encryptedData)
  const key = children(demandEncryptedKey(element, data['ds:KeyInfo'][0]), MODELS.encryptedKey)
  return {
    content: readContentCipher(first(data['xenc:EncryptionMethod']), cbcAdmitted),
    oaepHash: readOaepHash(first(key['xenc:EncryptionMethod'])),
    wrappedKey: readCipherValue(first(key['xenc:CipherData'])),
    body: readCipherValue(first(data['xenc:CipherData'])),
  }
}

const unwrap = ({ wrappedKey, oaepHash, content }: Encrypted, key: string): Buffer | null => {
  try {
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    const opened = privateDecrypt({ key, oaepHash, padding }, wrappedKey)
    return opened.length === content.keyBytes ? opened : null
  } catch {
    return null
  }
}

const GCM_IV = 12
const GCM_TAG = 16
const BLOCK = 16

const openGcm = ({ content, body }: Encrypted, key: Buffer): Buffer => {
  const decipher = createDecipheriv(content.cipher as 'aes-256-gcm', key, body.subarray(0, GCM_IV), {
    authTagLength: GCM_TAG,
  })
  decipher.setAuthTag(body.subarray(-GCM_TAG))
  return Buffer.concat([decipher.update(body.subarray(GCM_IV, -GCM_TAG)), decipher.final()])
}

/** Padding as XML Encryption has it (section 5.2): only the last byte counts, so not the one that node knows. */
const openCbc = ({ content, body }: Encrypted, key: Buffer): Buffer => {
  const decipher = createDecipheriv(content.cipher, key, body.subarray(0, BLOCK)).setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(body.subarray(BLOCK)), decipher.final()])
  const padding = padded.at(-1) ?? 0
  if (padding < 1 || padding > BLOCK) throw new RangeError('padding')
  return padded.subarray(0, -padding)
}

const open = (encrypted: Encrypted, keys: readonly string[]): string | null => {
  const unwrapped = keys.map((key) => unwrap(encrypted, key)).find((key) => key !== null)
  // With no key that fits, a random one is tried: as much work, and as little said, as for content that was changed.
  const key = unwrapped ?? randomBytes(encrypted.content.keyBytes)
  try {
    const bytes = encrypted.content.gcm ? openGcm(encrypted, key) : openCbc(encrypted, key)
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/**
 * The text inside an EncryptedAssertion; who wrote it is not known yet.
 * @param signed whether the Response around it has a signature that was verified, and `element` is from its text
 * @throws AppError `encrypted_assertion_refused` with the `fix`, `structure_refused`, `decryption_failed`
 */
export const decryptAssertion = (
  element: Element,
  signed: boolean,
  { keys, allowCbc }: DecryptionPolicy,
): string => {
  if (keys.length === 0) {
    throw refuse(
      'EncryptedAssertion',
      'Assertion',
      'EncryptedAssertion',
      'Switch encryption off at the identity provider: this connection has no key for it.',
    )
  }
  const text = open(read(element, { allowed: allowCbc, signed }), keys)
  if (text === null) throw decryptionFailed()
  return text
}
