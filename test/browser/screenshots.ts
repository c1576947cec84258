/** Takes the pictures of docs/screenshots from the real pages: `npm run screenshots`. */
import { mkdir } from 'node:fs/promises'
import { startWorld } from '../../src/demo/world.ts'
import { createLogger } from '../../src/http/log.ts'
import { setStage } from './stage.ts'
import { PAGES } from './steps.ts'

const FOLDER = new URL('../../docs/screenshots/', import.meta.url)
const PHONE = { width: 360, height: 740 }
const DESKTOP = { width: 1024, height: 720 }

type Shot = { page: keyof typeof PAGES; size: typeof PHONE; scheme: 'light' | 'dark' }

const SHOTS: Readonly<Record<string, Shot>> = {
  'login-desktop-light': { page: 'login', size: DESKTOP, scheme: 'light' },
  'login-phone-dark': { page: 'login', size: PHONE, scheme: 'dark' },
  'unknown-domain-phone-light': { page: 'login-unknown-domain', size: PHONE, scheme: 'light' },
  'error-desktop-dark': { page: 'error-deactivated', size: DESKTOP, scheme: 'dark' },
  'error-phone-light': { page: 'error-deactivated', size: PHONE, scheme: 'light' },
  'expired-desktop-light': { page: 'error-expired', size: DESKTOP, scheme: 'light' },
  'sign-out-phone-dark': { page: 'sign-out', size: PHONE, scheme: 'dark' },
  'signed-out-desktop-light': { page: 'signed-out', size: DESKTOP, scheme: 'light' },
}

const world = await startWorld({ memorable: false, logger: createLogger('silent') })
const stage = await setStage(world)
await mkdir(FOLDER, { recursive: true })
for (const [name, { page, size, scheme }] of Object.entries(SHOTS)) {
  const context = await stage.browser.newContext({ viewport: size, colorScheme: scheme })
  const tab = await context.newPage()
  await PAGES[page](tab, stage)
  await tab.screenshot({ path: new URL(`${name}.png`, FOLDER).pathname })
  await context.close()
}
await stage.close()
