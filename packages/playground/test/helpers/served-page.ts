import { createServer, type ModelDirectory, type ServedEngine, type ServerOptions } from '@incipit/server'
import type { Page } from 'playwright-core'
import { page as folder } from '../../page.ts'

interface Cleanup {
  after(act: () => Promise<unknown> | unknown): void
}

/** A server that shows the page, and its address. */
export async function servePage(
  test: Cleanup,
  engine: ServedEngine | ModelDirectory,
  { port = 0, ...options }: ServerOptions & { port?: number } = {},
): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const app = createServer(engine, { page: folder, ...options })
  const url = await app.listen({ host: '127.0.0.1', port })
  test.after(() => app.close())
  return {
    url,
    port: Number(new URL(url).port),
    close: async () => {
      await app.close()
    },
  }
}

/** Types a message as somebody does. */
export async function type(page: Page, text: string): Promise<void> {
  await page.locator('.composer textarea').pressSequentially(text, { delay: 5 })
}

/** Waits until a reply is over, and gives its text. */
export async function replyOf(page: Page): Promise<string> {
  // On a busy machine a long one takes its time.
  await page.locator('.message.reply footer').last().waitFor({ timeout: 60_000 })
  return (await page.locator('.message.reply:not(.coming) .markdown').last().textContent()) ?? ''
}
