/**
 * The other side of the broker, for trying and testing: a SAML IdP, an OIDC IdP and a platform app. They are
 * strangers to the broker on purpose: they share no code with it, and meet it only through the protocols.
 * No tables; everything is in memory and gone at exit. Bound to the loopback address, never to the network.
 */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '../core/errors.ts'

/** Someone who works at the company behind an IdP. */
export type Person = {
  /** Never reassigned: the SAML attribute `externalId`, the OIDC `sub`. */
  id: string
  email: string
  displayName: string
  givenName: string
  familyName: string
  groups: readonly string[]
}

export const findPerson = (people: readonly Person[], wanted: string | undefined): Person | undefined => {
  const key = wanted?.trim().toLowerCase()
  return people.find((person) => person.id === wanted || person.email.toLowerCase() === key)
}

/**
 * Imports a package that only development has.
 * @throws AppError `unsupported`: the package is not installed
 */
export const loadPeer = async <Module>(name: string, load: () => Promise<Module>): Promise<Module> => {
  try {
    return await load()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new AppError(
      'unsupported',
      'demo_peers_missing',
      `The demo needs the package ${name}, which a production install leaves out; run "npm ci" without --omit=dev.`,
      { cause },
    )
  }
}

export type LocalServer = {
  port: number
  /** `http://localhost:<port>` */
  origin: string
  /** Known only once the port is, hence after listening. */
  handle: (listener: RequestListener) => void
  close: () => Promise<void>
}

/**
 * Listens on 127.0.0.1.
 * @param port 0: any free one
 * @throws AppError `conflict`: the port is taken
 */
export const listenLocally = async (port = 0): Promise<LocalServer> => {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE'
          ? new AppError('conflict', 'port_in_use', `Port ${port} is already in use.`, { cause })
          : cause,
      ),
    )
    server.listen(port, '127.0.0.1', resolve)
  })
  const actual = (server.address() as AddressInfo).port
  return {
    port: actual,
    origin: `http://localhost:${actual}`,
    handle: (listener) => {
      server.on('request', listener)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
