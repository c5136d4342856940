import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { IncipitError } from '../../engine/src/api/errors.ts'
import { emptyStats } from '../../engine/src/api/stats.ts'
import { delta, done } from '../../server/test/fake-engine.ts'
import { fakeRealtimeEngine } from '../../server/test/realtime-fake.ts'
import { replyOf, servePage, type } from '../test/helpers/served-page.ts'

/** Makes pictures of what does not happen by itself: a full queue, thoughts, a server that goes away, a missing key. */
export async function troubles(browser: Browser, folder: string): Promise<void> {
  const cleanups: (() => unknown)[] = []
  const cleanup = { after: (act: () => unknown) => void cleanups.push(act) }
  const fake = fakeRealtimeEngine(async function* (_, index) {
    if (index === 0) throw new IncipitError('overloaded', '1024 requests wait already')
    yield delta('<think>The user asks for room. There is room now, so I should say so, and be brief about it.</think>')
    yield delta('Now there is.')
    yield done()
  })
  const reasoning = { start: '<think>', end: '</think>' }
  const engine = {
    ...fake,
    info: { ...fake.info, reasoning },
    renderChat: async () => '',
    stats: emptyStats,
    costProfile: () => [],
  }
  const page = await browser.newPage({ viewport: { width: 1180, height: 720 }, colorScheme: 'light' })
  const shoot = (name: string) => page.screenshot({ path: join(folder, `light-${name}.png`) })
  try {
    const served = await servePage(cleanup, engine)
    await page.goto(served.url)
    await type(page, 'Is there room?')
    await page.keyboard.press('Enter')
    await replyOf(page)
    await shoot('full-queue')
    await page.getByLabel('Answer again').click()
    await page.locator('.thoughts').waitFor()
    await page.locator('.thoughts summary').click()
    await shoot('thoughts')
    await type(page, 'And now')
    await served.close()
    await page.getByText('cannot be reached').first().waitFor()
    await shoot('lost')
    const locked = await servePage(cleanup, engine, { apiKey: 'sesame' })
    await page.goto(locked.url)
    await page.getByText('wants its API key').waitFor()
    await shoot('key')
  } finally {
    await page.close()
    for (const act of cleanups) await act()
  }
}
