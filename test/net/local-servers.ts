import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import * as x509 from '@peculiar/x509'

export type LocalServer = {
  port: number
  /** Sockets accepted so far. */
  connections: () => number
  close: () => Promise<void>
}

const listen = async (server: Server): Promise<LocalServer> => {
  let accepted = 0
  server.on('connection', () => {
    accepted += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => accepted,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A real server on 127.0.0.1 with a port of its own. */
export const plainServer = (listener: RequestListener): Promise<LocalServer> => listen(createServer(listener))

/** The same over TLS, with a certificate for `name` that only `ca` vouches for. */
export const tlsServer = async (
  name: string,
  listener: RequestListener,
): Promise<LocalServer & { ca: string }> => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      keys: keys as CryptoKeyPair,
      signingAlgorithm: algorithm,
      notAfter: new Date(Date.now() + 3_600_000),
      extensions: [
        new x509.BasicConstraintsExtension(true),
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      ],
    },
    webcrypto as unknown as Crypto,
  )
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  const cert = certificate.toString('pem')
  const server = createTlsServer(
    { cert, key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----` },
    listener,
  )
  return { ...(await listen(server)), ca: cert }
}
