/** The peers, installed apart from the product: in bench/peers, on demand. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** @param folder bench/peers, wherever the caller's own file was built to */
export const loadPeer = async <T>(folder: string, name: string): Promise<T> =>
  (await import(pathToFileURL(createRequire(join(folder, 'package.json')).resolve(name)).href)) as T
