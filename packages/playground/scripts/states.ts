import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { type } from '../test/helpers/served-page.ts'

const wide = { width: 1180, height: 720 }
const views: Record<string, BrowserContextOptions> = {
  light: { viewport: wide, colorScheme: 'light' },
  dark: { viewport: wide, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: 'light' },
  // What twice the size leaves of a window.
  zoom: { viewport: { width: 590, height: 360 }, deviceScaleFactor: 2, colorScheme: 'light' },
}

const settings = {
  maxTokens: 60,
  toolChoice: 'required',
  schema: '{"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}',
  tools:
    '[{"name": "get_weather", "description": "The weather in a city.", "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}}]',
}

/** Makes pictures of the page's main states in each view, to be looked at. */
export async function states(browser: Browser, url: string, folder: string): Promise<void> {
  for (const [view, options] of Object.entries(views)) {
    const context = await browser.newContext(options)
    const page = await context.newPage()
    await page.goto(url)
    const shoot = (name: string) => page.screenshot({ path: join(folder, `${view}-${name}.png`) })
    await set(page, { maxTokens: settings.maxTokens })
    await shoot('welcome')
    await type(page, 'Write a short Python function that says whether a number is prime, and a table of two rows.')
    await page.waitForFunction(() => (document.querySelector('.preview .markdown')?.textContent ?? '').length > 20)
    await shoot('typing')
    await ask(page)
    await shoot('chat')
    await page.getByRole('button', { name: 'Tokens' }).last().click()
    await wait(300)
    await shoot('tokens')
    await type(page, 'שלום עולם. מה שלומך?')
    await ask(page)
    await shoot('rtl')
    await set(page, settings)
    await type(page, 'What is the weather in Paris?')
    await ask(page)
    await page.getByLabel('Result of get_weather').fill('It is sunny.')
    await shoot('calls')
    await answered(page, () => page.getByRole('button', { name: 'Give the result' }).click())
    await shoot('results')
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.locator('#settings[open]').waitFor()
    await shoot('settings')
    await page.getByLabel('JSON schema of replies').scrollIntoViewIfNeeded()
    await shoot('settings-form')
    await page.keyboard.press('Escape')
    await set(page, { maxTokens: settings.maxTokens })
    for (const pane of ['race', 'pipeline', 'code']) {
      await page.goto(`${url}/#${pane}`)
      if (pane === 'race') {
        await page.getByRole('button', { name: 'Race', exact: true }).click()
        await page.getByLabel('Result', { exact: true }).waitFor({ timeout: 120_000 })
      }
      await wait(1500)
      await shoot(pane)
    }
    await context.close()
  }
}

async function set(page: Page, chosen: object): Promise<void> {
  await page.evaluate((text) => localStorage.setItem('incipit.settings', text), JSON.stringify(chosen))
  await page.reload()
  await page.locator('.composer textarea').waitFor()
}

const ask = (page: Page) => answered(page, () => page.keyboard.press('Enter'))

/** Waits for the reply to what is done. */
async function answered(page: Page, act: () => Promise<void>): Promise<void> {
  const before = await page.locator('.message.reply footer').count()
  await act()
  await page.locator('.message.reply footer').nth(before).waitFor({ timeout: 60_000 })
  await wait(500)
}
