// npm run pictures -w @incipit/playground: makes the pictures of docs/images, and others to look at in `pictures/`, with a
// real server, a real browser and a real terminal. Needs Chromium, tmux and a chat model (INCIPIT_MODEL, or the best one of
// the store). With `-- --states` it makes only those to look at.
import { execFile, spawn } from 'node:child_process'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Browser, Page } from 'playwright-core'
import { launch } from '../test/helpers/browser.ts'
import { gifOf, type Shot } from './gif.ts'
import { states } from './states.ts'
import { type Screen, svgOf } from './terminal-svg.ts'
import { troubles } from './troubles.ts'

const root = join(import.meta.dirname, '../../..')
/** Those that the documentation shows, and where; the others are to be looked at. */
const shown = ['page.gif', 'terminal.svg', 'pipeline.png', 'race.png', 'code.png']
const placeOf = (name: string) =>
  join(shown.includes(name) ? join(root, 'docs/images') : join(import.meta.dirname, '../pictures'), name)
const main = join(root, 'packages/incipit/src/main.ts')
const run = promisify(execFile)
const question = 'Write a short Python function that says whether a number is prime.'

const keyMs = 55

async function serve(...args: string[]): Promise<{ url: string; stop(): void }> {
  const child = spawn(process.execPath, [main, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const part of child.stdout.setEncoding('utf8')) {
    text += part
    const [, url] = /serves on (http:\S+)/.exec(text) ?? []
    if (url) return { url, stop: () => child.kill() }
  }
  throw new Error('the server ended')
}

async function shoot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: placeOf(name) })
}

/** Takes pictures, about so many a second, until what is done is done. */
async function recorded(page: Page, act: () => Promise<void>): Promise<Shot[]> {
  const shots: Shot[] = []
  const began = performance.now()
  let over = false
  const camera = (async () => {
    while (!over) {
      const at = performance.now() - began
      shots.push({ at, picture: await page.screenshot({ animations: 'allow' }) })
      await wait(Math.max(0, 70 - (performance.now() - began - at)))
    }
  })()
  await act()
  over = true
  await camera
  return shots
}

async function ask(page: Page, text: string, pauseMs: number): Promise<void> {
  await page.locator('.composer textarea').pressSequentially(text, { delay: keyMs })
  await wait(pauseMs)
  await page.keyboard.press('Enter')
  await page.locator('.message.reply:not(.coming) footer').last().waitFor({ timeout: 60_000 })
  await wait(600)
}

async function pages(browser: Browser, url: string): Promise<void> {
  const context = await browser.newContext({
    viewport: { width: 1180, height: 720 },
    deviceScaleFactor: 1.5,
    colorScheme: 'light',
  })
  const page = await context.newPage()
  await page.goto(url)
  await page.locator('.composer textarea').waitFor()
  await page.evaluate(() => localStorage.setItem('incipit.settings', JSON.stringify({ maxTokens: 160 })))
  await page.reload()
  await page.locator('.composer textarea').pressSequentially(question, { delay: keyMs })
  await page.waitForFunction(() => (document.querySelector('.preview .markdown')?.textContent ?? '').length > 20)
  await wait(700)
  await shoot(page, 'typing.png')
  await page.keyboard.press('Enter')
  await page.locator('.message.reply:not(.coming) footer').waitFor({ timeout: 60_000 })
  await wait(600)
  await shoot(page, 'chat.png')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.getByRole('button', { name: 'Tokens' }).click()
  await wait(300)
  await shoot(page, 'dark.png')
  await page.emulateMedia({ colorScheme: 'light' })
  await page.goto(`${url}/#race`)
  await page.getByRole('button', { name: 'Race', exact: true }).click()
  await page.getByLabel('Result').waitFor({ timeout: 120_000 })
  await shoot(page, 'race.png')
  await page.goto(`${url}/#pipeline`)
  await page.locator('.requests tbody tr').first().waitFor()
  await crowd(page)
  await page.getByRole('button', { name: 'Live', exact: true }).click()
  await pointAt(page, /^lookahead: /)
  await shoot(page, 'pipeline.png')
  await page.setViewportSize({ width: 390, height: 760 })
  await page.goto(`${url}/#chat`)
  await wait(500)
  await shoot(page, 'phone.png')
  await context.close()

  const small = await browser.newContext({ viewport: { width: 720, height: 460 }, colorScheme: 'light' })
  const film = await small.newPage()
  await film.goto(url)
  await film.evaluate(() => localStorage.setItem('incipit.settings', JSON.stringify({ maxTokens: 70 })))
  await film.reload()
  await film.locator('.composer textarea').waitFor()
  await ask(film, 'What is the opposite of hot?', 0)
  const shots = await recorded(film, () => ask(film, 'Why is the sky blue?', 1500))
  await writeFile(placeOf('page.gif'), gifOf(shots))
  await small.close()
}

const story =
  'The harbour had been closed since the storm, and the old man who kept the light had not been paid for three months. ' +
  'Every evening he climbed the stairs, wound the clockwork, trimmed the lamp, and wrote the same sentence into the book. '

/** Requests of several kinds at once, until the first word of the longest has been there for a moment. */
async function crowd(page: Page): Promise<void> {
  await page.evaluate(async (story) => {
    const ask = (content: string, more: object) =>
      fetch('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ messages: [{ role: 'user', content }], temperature: 0, stream: true, ...more }),
      })
    const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
    void ask('Tell me about whales.', { tier: 'batch', max_tokens: 40 })
    await wait(200)
    void ask('Name three colours.', { max_tokens: 60 })
    await wait(300)
    const stream_options = { include_provisional: true }
    const long = await ask(`${story.repeat(6)}Who kept the light?`, { max_tokens: 40, stream_options })
    const reader = long.body!.pipeThrough(new TextDecoderStream()).getReader()
    for (let said = ''; !/"content":"[^"]/.test(said); ) said += (await reader.read()).value
    await wait(500)
  }, story)
}

/** Moves the pointer over the waterfall until it says something like this; on a slow machine that is longer ago. */
async function pointAt(page: Page, what: RegExp, zooms = 1): Promise<void> {
  const { x, y, width, height } = (await page.getByRole('img', { name: 'What the engine does' }).boundingBox())!
  for (let top = 80; top < height; top += 40) {
    for (let left = width - 2; left > 100; left -= 4) {
      await page.mouse.move(x + left, y + top)
      const said = await page.evaluate(() => document.querySelector('.tip')?.textContent ?? '')
      if (what.test(said)) return
    }
  }
  if (zooms === 0) throw new Error(`the pipeline has nothing that says ${what}`)
  await page.getByRole('button', { name: 'Show more time' }).click()
  await pointAt(page, what, zooms - 1)
}

async function codePane(browser: Browser, url: string): Promise<void> {
  const context = await browser.newContext({
    viewport: { width: 1180, height: 560 },
    deviceScaleFactor: 1.5,
    colorScheme: 'light',
  })
  const page = await context.newPage()
  await page.goto(`${url}/#code`)
  await page.waitForFunction(() => {
    const ghost = document.querySelector('.editor')?.shadowRoot?.querySelector('.cm-ghost')
    return (ghost?.textContent ?? '').length > 12
  })
  await page.locator('.cm-content').focus()
  for (const key of 'lines) {') {
    await page.keyboard.type(key)
    await wait(2 * keyMs)
  }
  await page.keyboard.press('Enter')
  await wait(2 * keyMs)
  await page.keyboard.type('y')
  await wait(1000)
  await shoot(page, 'code.png')
  await context.close()
}

async function terminal(): Promise<void> {
  const [columns, rows] = [79, 9]
  const socket = `incipit-pictures-${process.pid}`
  const env = { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' }
  const tmux = async (...args: string[]) =>
    (await run('tmux', ['-L', socket, '-f', '/dev/null', ...args], { env })).stdout
  const command = `'${process.execPath}' '${main}' chat -n 60; exec sleep 1000`
  await tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), command)
  try {
    const capture = () => tmux('capture-pane', '-p', '-e')
    while (!(await capture()).includes('○')) await wait(100)
    const screens: Screen[] = []
    const began = performance.now()
    let over = false
    const camera = (async () => {
      while (!over) {
        screens.push({ at: performance.now() - began, text: await capture() })
        await wait(60)
      }
    })()
    for (const key of 'What is the opposite of hot?') {
      await tmux('send-keys', '-l', key)
      await wait(keyMs)
    }
    await wait(1600)
    await tmux('send-keys', 'Enter')
    await wait(2500)
    over = true
    await camera
    await writeFile(placeOf('terminal.svg'), svgOf(screens, columns, rows))
  } finally {
    await tmux('kill-server')
  }
}

async function served(args: readonly string[], act: (browser: Browser, url: string) => Promise<void>): Promise<void> {
  const server = await serve(...args)
  const browser = await launch()
  try {
    await act(browser, server.url)
  } finally {
    await browser.close()
    server.stop()
  }
}

const toLookAt = dirname(placeOf('chat.png'))
for (const folder of [dirname(placeOf('page.gif')), toLookAt]) await mkdir(folder, { recursive: true })
await served([], async (browser, url) => {
  await states(browser, url, toLookAt)
  await troubles(browser, toLookAt)
})
if (!process.argv.includes('--states')) {
  await served([], pages)
  await served(['--model', join(root, 'models/prelude/prelude-small.Q8_0.gguf')], codePane)
  await terminal()
  for (const name of shown) process.stdout.write(`${name} ${Math.round((await stat(placeOf(name))).size / 1024)} kB\n`)
}
