import { execFileSync } from 'node:child_process'
import { after } from 'node:test'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** Where a Chromium is: Debian's, or the one that INCIPIT_CHROMIUM names. */
const executable = process.env.INCIPIT_CHROMIUM ?? found('chromium') ?? found('chromium-browser')

function found(name: string): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

/** For the `skip` option of a test: false, or what is missing and how to provide it. */
export const noBrowser = executable ? false : 'no chromium: install Debian’s, or name one with INCIPIT_CHROMIUM'

const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']

/** Starts it. Whoever does closes it. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: executable!,
    args: [...quiet, '--disable-component-update', '--disable-sync'],
  })
}

/** One for all tests of a process, started by the first that runs. */
let shared: Promise<Browser> | undefined

/** A real browser for the tests of this file; each call opens a page. What a page complains about fails its test. */
export function browser(options: BrowserContextOptions = {}): (test: PageTest) => Promise<Page> {
  let context: Promise<BrowserContext> | undefined
  after(async () => {
    const started = shared
    shared = undefined
    await (await started)?.close()
  })
  return async (test) => {
    shared ??= launch()
    context ??= shared.then((started) => started.newContext(options))
    const page = await (await context).newPage()
    page.setDefaultTimeout(15_000)
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(String(error.stack)))
    page.on('console', (message) => {
      // A server that is not there, or wants a key, is the page's to say, and tests look at what it says.
      const refused = /^(?:Failed to load resource|WebSocket connection to)/.test(message.text())
      if (message.type() === 'error' && !refused) {
        complaints.push(message.text())
      }
    })
    test.after(async () => {
      await page.close()
      if (complaints.length > 0) throw new Error(`the page complained:\n${complaints.join('\n')}`)
    })
    return page
  }
}

interface PageTest {
  after(act: () => Promise<void>): void
}
