import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectAccessible } from '../support/browser.ts'
import { testDatabase } from '../support/database.ts'
import { namedApp, openStage, type Stage } from './stage.ts'
import { openLogin, PAGES } from './steps.ts'

const SIZES = [
  { width: 360, height: 740 },
  { width: 1280, height: 800 },
]
const LOOKS = SIZES.flatMap((size) => (['light', 'dark'] as const).map((scheme) => ({ size, scheme })))

/** Pixels by which the page is wider than the window. */
const overflow = (tab: Page): Promise<number> =>
  tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')

/** How much has moved since the page began to load; 0 is nothing. */
const layoutShift = (tab: Page): Promise<number> =>
  tab.evaluate<number>(`new Promise((resolve) => {
    let sum = 0
    const observer = new PerformanceObserver((list) => {
      for (const { value } of list.getEntries()) sum += value
    })
    observer.observe({ type: 'layout-shift', buffered: true })
    requestAnimationFrame(() => setTimeout(() => resolve(sum), 50))
  })`)

const ground = (tab: Page): Promise<string> =>
  tab.evaluate<string>('getComputedStyle(document.body).backgroundColor')

describe('the pages', () => {
  const db = testDatabase()
  let stage: Stage
  let context: BrowserContext

  beforeAll(async () => {
    stage = await openStage(db)
    context = await stage.browser.newContext()
  })

  afterAll(() => stage.close())

  test.each(Object.entries(PAGES))(
    '%s is accessible, stands still and fits, on a phone and a desk, by day and by night',
    async (_, open) => {
      const tab = await context.newPage()
      const grounds = new Set<string>()
      for (const { size, scheme } of LOOKS) {
        await tab.setViewportSize(size)
        await tab.emulateMedia({ colorScheme: scheme })
        await open(tab, stage)
        expect(await layoutShift(tab)).toBe(0)
        expect(await overflow(tab)).toBeLessThanOrEqual(0)
        grounds.add(await ground(tab))
        await expectAccessible(tab)
      }
      expect(grounds.size).toBe(2)
      await tab.close()
    },
  )

  test('a long name and a long address break instead of widening the page', async () => {
    const app = await namedApp(stage.broker, `Rechnungs${'verwaltung'.repeat(15)}`)
    const tab = await context.newPage()
    await tab.setViewportSize({ width: 320, height: 600 })
    await openLogin(tab, app)
    expect(await tab.textContent('h1')).toContain('verwaltungverwaltung')
    expect(await overflow(tab)).toBeLessThanOrEqual(0)
    await tab.close()
    await app.close()
  })

  test('what counts as movement is seen: a line that comes late would be a fault', async () => {
    const tab = await context.newPage()
    await openLogin(tab, stage.harbour)
    await tab.waitForTimeout(600)
    await tab.evaluate(
      `document.querySelector('main').insertAdjacentHTML('beforebegin', '<p>late</p>'.repeat(4))`,
    )
    expect(await layoutShift(tab)).toBeGreaterThan(0)
    await tab.close()
  })
})
