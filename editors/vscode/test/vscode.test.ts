import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import { prelude } from '../../../packages/engine/test/fixtures/prelude.ts'
import { CodeServer, installCodeServer } from './code-server.ts'

// The packaged extension in a real VS Code, in a real browser, with the model of this repository.

const root = join(import.meta.dirname, '..', '..', '..')
const models = process.env.INCIPIT_MODELS ?? join(root, '..', 'shared', 'models')
const chromium = process.env.INCIPIT_CHROMIUM ?? '/usr/bin/chromium'
const skip =
  process.env.INCIPIT_TEST !== 'full'
    ? 'part of npm run test:full'
    : existsSync(chromium)
      ? false
      : `${chromium} is missing: set INCIPIT_CHROMIUM to a Chromium`
// Pictures for people; nobody compares them.
const pictures = process.env.INCIPIT_SCREENSHOTS

const code = `/** Numbers. */
export function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) {

  }
  return total
}
`

const averageCode = `export function average(values: readonly number[]): number {
  let total = 0
  for (const value of values) {
    total += value
  }
  return total / values.length
}
`

/** Code of which the model knows how it goes on. */
const imports = 'import assert from "node:assert/strict"\n'.repeat(8)

let folder: string
/** While this file is not there, the language server does not start. */
let gate: string
let server: CodeServer
let browser: Browser
let page: Page

before(async () => {
  if (skip) return
  // Where the language server looks for models to choose from.
  process.env.INCIPIT_MODELS ??= models
  folder = await mkdtemp(join(tmpdir(), 'incipit-vscode-'))
  installCodeServer()
  const vsix = join(folder, 'incipit.vsix')
  const build = spawnSync(process.execPath, [join(import.meta.dirname, '..', 'build.mjs'), vsix], { stdio: 'inherit' })
  assert.equal(build.status, 0)
  await mkdir(join(folder, 'work'))
  await writeFile(join(folder, 'work', 'sum.ts'), code)
  await writeFile(join(folder, 'work', 'average.ts'), averageCode)
  await writeFile(join(folder, 'work', 'imports.ts'), imports)
  gate = join(folder, 'gate')
  const main = join(root, 'packages', 'incipit', 'src', 'main.ts')
  const waiting = `until [ -e '${gate}' ]; do sleep 0.05; done; exec "$0" "$@"`
  server = await CodeServer.start(folder, vsix, {
    'security.workspace.trust.enabled': false,
    'workbench.startupEditor': 'none',
    'workbench.tips.enabled': false,
    'chat.disableAIFeatures': true,
    'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    'editor.minimap.enabled': false,
    'files.autoSave': 'off',
    'incipit.command': ['sh', '-c', waiting, process.execPath, main, 'lsp', '--stdio'],
    'incipit.model': prelude,
    // Prelude is small: it would seldom be sure of anything.
    'incipit.minAcceptance': 0,
    'incipit.share': false,
    'incipit.threads': 1,
  })
  const playwright = await import('./code-server/node_modules/playwright-core/index.mjs')
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  args.push('--disable-component-update', '--disable-sync')
  browser = await playwright.chromium.launch({ executablePath: chromium, args })
  page = await browser.newPage({ viewport: { width: 1200, height: 700 } })
  await page.goto(`${server.url}/?folder=${encodeURIComponent(join(folder, 'work'))}`)
  await page.locator('.monaco-workbench').waitFor({ timeout: 60_000 })
})
after(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
  if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

const status = () => page.locator('.statusbar-item[id*="incipit"]')

async function picture(name: string): Promise<void> {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) })
}

/** Runs a command of the palette. */
async function run(command: string): Promise<void> {
  await page.keyboard.press('F1')
  await page.locator('.quick-input-widget input').first().waitFor()
  await page.keyboard.type(command)
  await page.locator('.quick-input-list .monaco-list-row').first().waitFor()
  await page.keyboard.press('Enter')
}

async function goTo(line: number, column: number): Promise<void> {
  await page.keyboard.press('Control+g')
  await page.locator('.quick-input-widget input').first().waitFor()
  await page.keyboard.type(`${line},${column}`.replace(',', ':'))
  await page.keyboard.press('Enter')
  await page.locator('.quick-input-widget').waitFor({ state: 'hidden' })
}

/** The ghost text, lines below the cursor's included, with ordinary spaces. */
async function ghost(): Promise<string> {
  const parts = await page
    .locator('.ghost-text-decoration, .ghost-text-decoration-preview, .suggest-preview-text')
    .allTextContents()
  return parts.join('').replaceAll('\u00a0', ' ')
}

/** The cursor's line as it is drawn: with its ghost text. */
async function cursorLine(): Promise<string> {
  const top = await page
    .locator('.view-overlays .current-line')
    .first()
    .evaluate((line) => line.parentElement!.style.top)
  const line = page.locator(`.view-lines .view-line[style*="top:${top}"], .view-lines .view-line[style*="top: ${top}"]`)
  return ((await line.first().textContent()) ?? '').replaceAll('\u00a0', ' ').trimEnd()
}

async function until<T>(what: () => Promise<T | undefined | false | ''>, name: string): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await what()
    if (found) return found
    await sleep(50)
  }
  await picture('failed')
  throw new Error(`it never came to that: ${name}`)
}

/** The file as it is saved now. */
async function saved(name = 'sum.ts'): Promise<string> {
  await page.keyboard.press('Control+s')
  await sleep(400)
  return readFile(join(folder, 'work', name), 'utf8')
}

async function openFile(name: string): Promise<void> {
  await page.keyboard.press('Control+p')
  await page.locator('.quick-input-widget input').first().fill(name)
  // What was there before stands in the list until the search is done.
  await page.locator('.quick-input-list .monaco-list-row.focused').filter({ hasText: name }).waitFor()
  await page.keyboard.press('Enter')
  await page.locator('.tab.active').filter({ hasText: name }).waitFor()
  await page.locator('.view-lines').first().waitFor()
}

/** What the status bar says to those who do not see it. */
async function label(): Promise<string> {
  return (await status().locator('a').getAttribute('aria-label')) ?? ''
}

/** The file of the first tests as it was. */
async function undone(): Promise<void> {
  await until(async () => {
    await page.keyboard.press('Control+z')
    return (await saved()) === code
  }, 'undone')
}

test('what is typed while the server starts is completed when it is there, unless the caret has left it', {
  skip,
  timeout: 180_000,
}, async () => {
  await openFile('sum.ts')
  await goTo(5, 1)
  await page.keyboard.type('    const next = ')
  await until(async () => /is loading/.test(await label()), 'loading')
  await picture('loading')
  assert.equal(await ghost(), '')
  await writeFile(gate, '')
  await until(ghost, 'ghost text')

  await undone()
  await rm(gate)
  await run('incipit: Start the language server again')
  await until(async () => /is loading/.test(await label()), 'loading again')
  await goTo(5, 1)
  await page.keyboard.type('    const next = ')
  await page.keyboard.press('ArrowDown')
  await writeFile(gate, '')
  await until(async () => /is ready/.test(await label()), 'ready')
  await sleep(500)
  assert.equal(await ghost(), '')
  await undone()
})

test('ghost text: shown, typed through, accepted, undone', { skip, timeout: 180_000 }, async () => {
  await goTo(5, 1)
  await page.keyboard.type('    const next = ')
  const shown = await until(ghost, 'ghost text')
  await picture('ghost-text')

  const line = await cursorLine()
  await page.keyboard.type(shown[0]!)
  // Where that opened a pair of brackets, the editor closed it, and the completion goes around it.
  await until(async () => (await ghost()).length < shown.length && (await cursorLine()) === line, 'the rest of it')
  await picture('typed-through')

  await page.keyboard.press('Tab')
  await until(async () => (await saved()).includes(`\n${line}\n`), 'accepted')
  await picture('accepted')
  await undone()
})

test('a word of it is accepted, then a line; asked for by hand there are several', {
  skip,
  timeout: 120_000,
}, async () => {
  await openFile('imports.ts')
  await page.keyboard.press('Control+End')
  await page.keyboard.type('import assert ')
  const shown = await until(ghost, 'ghost text')
  const line = await cursorLine()
  await page.keyboard.press('Control+ArrowRight')
  const rest = await until(async () => {
    const left = await ghost()
    return left.length < shown.length && left
  }, 'a word less')
  assert.ok(shown.endsWith(rest), `${shown} | ${rest}`)
  assert.equal(await cursorLine(), line)
  await page.keyboard.press('Control+Alt+ArrowRight')
  await until(async () => (await saved('imports.ts')) === imports + line, 'the line')

  await openFile('sum.ts')
  await goTo(5, 1)
  await page.keyboard.type('    const next = ')
  await page.keyboard.press('Alt+\\')
  const first = await until(ghost, 'the first one')
  await until(async () => {
    await page.keyboard.press('Alt+]')
    const other = await ghost()
    return other !== '' && other !== first
  }, 'another one')
  await picture('alternatives')
  await page.keyboard.press('Escape')
  await undone()
})

test('the status bar shows the time to the first token; switched off there is no ghost text', {
  skip,
  timeout: 120_000,
}, async () => {
  assert.match((await status().textContent()) ?? '', /incipit \d+ ms/)
  await run('incipit: Switch completions on or off')
  await until(async () => /is off/.test(await label()), 'off')
  await goTo(5, 1)
  await page.keyboard.type('    const next = ')
  await sleep(1000)
  assert.equal(await ghost(), '')
  await run('incipit: Switch completions on or off')
  await until(async () => /is ready/.test(await label()), 'on again')
})

const smol = join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')

test('the next edit: drawn where it is, made with Tab', {
  skip: skip || (existsSync(smol) ? false : `${smol} is missing`),
  timeout: 120_000,
}, async () => {
  await run('incipit: Choose the model')
  await page.locator('.quick-input-widget input[placeholder*="The model"]').waitFor()
  await page.keyboard.type('SmolLM2')
  await page.keyboard.press('Enter')
  await until(async () => /is loading/.test(await label()), 'another model')
  await until(async () => /is ready/.test(await label()), 'ready')

  await openFile('average.ts')
  await goTo(2, 7)
  await page.keyboard.press('Control+Shift+ArrowRight')
  await page.keyboard.type('sum')
  const struckThrough = () =>
    page
      .locator('.view-lines .view-line span')
      .evaluateAll((spans) =>
        spans
          .filter((span) => getComputedStyle(span).textDecorationLine.includes('line-through'))
          .map(({ textContent }) => textContent),
      )
  await until(async () => (await struckThrough()).includes('total'), 'struck through')
  await picture('next-edit')
  // What completes at the cursor would come first; inside of a word there is nothing.
  await page.keyboard.press('ArrowLeft')
  await until(async () => (await ghost()) === '', 'no ghost text')
  await page.keyboard.press('Tab')
  await until(async () => (await saved('average.ts')) === averageCode.replaceAll('total', 'sum'), 'made')
})

test('what was sent can be seen', { skip, timeout: 120_000 }, async () => {
  await run('incipit: Show what was sent')
  await until(
    async () => (await page.locator('.view-lines').allTextContents()).join('').includes('incipit:'),
    'the trace',
  )
  await picture('trace')
  assert.equal(await page.locator('.tab.active.dirty').count(), 0, 'nobody is asked to save it')
})
