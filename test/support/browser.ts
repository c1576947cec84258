import { execFile } from 'node:child_process'
import { chmod, lstat, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, chromium, type Page } from 'playwright-core'

/**
 * Not the flags that the packaged Chromium proposes: those switch web security off, and hide CORS and cookie faults.
 * The resolver rules keep the browser on this machine: every `.test` host is the loopback address, the rest of the
 * world does not exist.
 */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-domain-reliability',
  '--disable-sync',
  '--no-pings',
  '--no-proxy-server',
  '--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
]

const run = promisify(execFile)
const require = createRequire(import.meta.url)
// Its package.json is not among its exports.
const { version } = require(join(dirname(require.resolve('@sparticuz/chromium')), '../../package.json')) as {
  version: string
}

const fontConfig = (folder: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>
`

/**
 * Lets the package unpack itself into `folder`, in a process of its own, since it follows TMPDIR and looks at the
 * environment once. The variable makes it unpack the libraries (NSS, expat) that a bare Debian lacks.
 */
const unpackInto = async (folder: string): Promise<void> => {
  const script = "import('@sparticuz/chromium').then(({ default: chromium }) => chromium.executablePath())"
  await run(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: import.meta.dirname,
    env: { ...process.env, TMPDIR: folder, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x', NODE_OPTIONS: '' },
  })
}

/** A folder in a shared /tmp is ours only if nobody else could have put it there. */
const isOurs = async (folder: string): Promise<boolean> => {
  const stat = await lstat(folder).catch(() => null)
  if (stat === null) return false
  if (stat.isDirectory() && stat.uid === userInfo().uid && (stat.mode & 0o022) === 0) return true
  throw new Error(`${folder} belongs to somebody else; remove it.`)
}

/** Unpacked once for each user and version (200 MB, three seconds), then shared by all test files. */
const unpackedChromium = async (): Promise<string> => {
  const folder = join(tmpdir(), `portico-chromium-${version}-${userInfo().uid}`)
  if (await isOurs(folder)) return folder
  const staging = await mkdtemp(`${folder}-`)
  try {
    await unpackInto(staging)
    await writeFile(join(staging, 'fonts.conf'), fontConfig(folder))
    await chmod(staging, 0o700)
    // Atomic: whoever sees the folder sees all of it. Another test file may have been faster.
    await rename(staging, folder).catch(async (error) => {
      if (!(await isOurs(folder))) throw error
    })
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return folder
}

/** Where the package has no build for this machine, CHROMIUM_PATH names an installed Chromium or Chrome. */
const locateChromium = async (): Promise<{ executablePath: string; env: Record<string, string> }> => {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  const installed = process.env.CHROMIUM_PATH
  if (installed) return { executablePath: installed, env }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('The packaged Chromium is for Linux on x64: set CHROMIUM_PATH to an installed one.')
  }
  const folder = await unpackedChromium()
  const libraries = [join(folder, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return {
    executablePath: join(folder, 'chromium'),
    env: { ...env, LD_LIBRARY_PATH: libraries, FONTCONFIG_FILE: join(folder, 'fonts.conf') },
  }
}

/**
 * A real, headless Chromium that reaches this machine only; the caller closes it. Hosts under `.test` resolve to
 * 127.0.0.1.
 */
export const launchBrowser = async ({ args = [] }: { args?: readonly string[] } = {}): Promise<Browser> => {
  const { executablePath, env } = await locateChromium()
  return chromium.launch({ executablePath, env, headless: true, args: [...FLAGS, ...args] })
}

const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/**
 * Throws what axe finds wrong with the page as it stands. The page must come from `browser.newContext()`, since axe
 * opens a second one beside it.
 */
export const expectAccessible = async (page: Page): Promise<void> => {
  const { violations, passes } = await new AxeBuilder({ page }).withTags(WCAG).analyze()
  if (passes.length === 0) throw new Error(`axe found nothing to look at on ${page.url()}`)
  if (violations.length === 0) return
  const faults = violations.map(
    ({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html }) => `    ${html}`).join('\n')}`,
  )
  throw new Error(`${page.url()} is not accessible:\n${faults.join('\n')}`)
}
