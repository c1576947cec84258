/** Before a run: what is measured is built, and the peers are there. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Compiles product and benchmark into bench/dist, types unchecked (that is `npm run check`); returns its bench folder. */
export const build = (benchDir: string): string => {
  const out = join(benchDir, 'dist')
  rmSync(out, { recursive: true, force: true })
  const tsc = join(benchDir, '..', 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '-p', join(benchDir, 'tsconfig.json'), '--noCheck'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return join(out, 'bench')
}

/** `npm ci` in bench/peers, where its lockfile has changed since; without install scripts, which none of them needs here. */
export const installPeers = (benchDir: string, say: (line: string) => void): string => {
  const peers = join(benchDir, 'peers')
  const wanted = createHash('sha256')
    .update(readFileSync(join(peers, 'package-lock.json')))
    .digest('hex')
  const stamp = join(peers, 'node_modules', '.portico-bench')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return peers
  say('installing the peers into bench/peers …')
  execFileSync('npm', ['ci', '--prefix', peers, '--ignore-scripts', '--no-audit', '--no-fund'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  writeFileSync(stamp, wanted)
  return peers
}
