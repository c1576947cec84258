// The certificate library builds on decorators and refuses to load without this.
import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import * as x509 from '@peculiar/x509'

/** A private key and its certificate chain, both PEM. */
export type ServerCertificate = { key: string; cert: string }

export type Authority = {
  certificatePem: string
  /** Base64 SHA-256 of the public key: Chromium's `--ignore-certificate-errors-spki-list` trusts chains that hold it. */
  spki: string
  /** A server certificate for these host names. */
  issue: (...hosts: [string, ...string[]]) => Promise<ServerCertificate>
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000

const validity = () => ({
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + 30 * DAY_MS),
})

const generateKeys = async (): Promise<CryptoKeyPair> =>
  (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair

/** A certificate authority that lives as long as the test: nothing to check in, nothing that expires one day. */
export const createAuthority = async (): Promise<Authority> => {
  x509.cryptoProvider.set(webcrypto as Crypto)
  const keys = await generateKeys()
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Test authority',
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity(),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  })
  const certificatePem = authority.toString('pem')

  return {
    certificatePem,
    spki: createHash('sha256').update(Buffer.from(authority.publicKey.rawData)).digest('base64'),
    issue: async (...hosts) => {
      const own = await generateKeys()
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${hosts[0]}`,
        issuer: authority.subject,
        signingKey: keys.privateKey,
        publicKey: own.publicKey,
        signingAlgorithm: ALGORITHM,
        ...validity(),
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(hosts.map((value) => ({ type: 'dns' as const, value }))),
        ],
      })
      const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', own.privateKey as webcrypto.CryptoKey)
      return {
        key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
        cert: `${certificate.toString('pem')}\n${certificatePem}`,
      }
    },
  }
}

export type TlsTerminator = {
  /** `https://<host>:<port>` */
  url: string
  port: number
  close: () => Promise<void>
}

/** What a careful reverse proxy sends on: its own word about the client, never the client's. */
const forwardedHeaders = (incoming: IncomingMessage): Record<string, string | string[] | undefined> => {
  const kept = Object.fromEntries(
    Object.entries(incoming.headers).filter(([name]) => !name.startsWith('x-forwarded-')),
  )
  return {
    ...kept,
    'x-forwarded-for': incoming.socket.remoteAddress ?? '',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': incoming.headers.host ?? '',
  }
}

const forward = (incoming: IncomingMessage, outgoing: ServerResponse, target: string): void => {
  const onward = request(
    new URL(incoming.url ?? '/', target),
    { method: incoming.method, headers: forwardedHeaders(incoming) },
    (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(outgoing)
    },
  )
  onward.on('error', () => {
    if (!outgoing.headersSent) outgoing.writeHead(502)
    outgoing.end()
  })
  outgoing.on('close', () => onward.destroy())
  incoming.pipe(onward)
}

/**
 * An https server on a free loopback port that forwards to a plain http origin, keeping Host.
 * @param target an origin, or a function for one that is known only later: a broker wants its public address first
 */
export const terminateTls = async (options: {
  host: string
  certificate: ServerCertificate
  target: string | (() => string)
}): Promise<TlsTerminator> => {
  const { host, certificate, target } = options
  const server = createServer(certificate, (incoming, outgoing) =>
    forward(incoming, outgoing, typeof target === 'string' ? target : target()),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `https://${host}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
