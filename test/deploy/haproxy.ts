import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerCertificate } from '../support/tls.ts'

/** The file that operators run. */
export const CONFIGURATION = 'deploy/haproxy.cfg'

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Where HAProxy is on this machine; Debian keeps it in /usr/sbin, which is not on everyone's PATH. */
export const findHaproxy = (path = `${process.env.PATH}${delimiter}/usr/sbin`): string | undefined =>
  path
    .split(delimiter)
    .map((folder) => join(folder, 'haproxy'))
    .find(isProgram)

export type Node = { port: number; managementPort: number }

export type RunningProxy = { log: () => string; stop: () => Promise<void> }

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })

const untilListening = async (child: ChildProcess, port: number, log: () => string): Promise<void> => {
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}: ${log()}`)
    await sleep(20)
  }
}

/** HAProxy with the operators' configuration, in front of two nodes on this machine. */
export const startProxy = async (options: {
  program: string
  port: number
  certificate: ServerCertificate
  nodes: readonly [Node, Node]
}): Promise<RunningProxy> => {
  const { program, port, certificate, nodes } = options
  const folder = mkdtempSync(join(tmpdir(), 'portico-proxy-'))
  const certificateFile = join(folder, 'tls.pem')
  writeFileSync(certificateFile, `${certificate.cert}\n${certificate.key}\n`, { mode: 0o600 })
  const child = spawn(program, ['-db', '-f', CONFIGURATION], {
    env: {
      PROXY_BIND: `127.0.0.1:${port}`,
      PROXY_CERTIFICATE: certificateFile,
      NODE_A: `127.0.0.1:${nodes[0].port}`,
      NODE_A_HEALTH_PORT: String(nodes[0].managementPort),
      NODE_B: `127.0.0.1:${nodes[1].port}`,
      NODE_B_HEALTH_PORT: String(nodes[1].managementPort),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const log = () => output
  await untilListening(child, port, log)
  return {
    log,
    stop: async () => {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
