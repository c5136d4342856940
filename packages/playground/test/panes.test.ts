import assert from 'node:assert/strict'
import { test } from 'node:test'
import axe from 'axe-core'
import type { Page } from 'playwright-core'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { loaded, missing, prelude, smol } from '../../server/test/models.ts'
import { browser, noBrowser } from './helpers/browser.ts'
import { replyOf, servePage, type } from './helpers/served-page.ts'

const chat = loaded(smol, { contextLength: 1024 })
const code = loaded(prelude, { contextLength: 1024 })
const open = browser({ viewport: { width: 1100, height: 760 } })
const openPhone = browser({ viewport: { width: 375, height: 700 }, reducedMotion: 'reduce', hasTouch: true })
const skip = noBrowser || (full ? false : 'runs with npm run test:full')
const withChat = { skip: skip || missing(smol), timeout: 180_000 }
const withCode = { skip: skip || missing(prelude), timeout: 120_000 }

interface AxeResult {
  violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[]
}

/** What would keep people from using the page. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(`${axe.source}; undefined`)
  const { violations } = (await page.evaluate('axe.run()')) as AxeResult
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`))
}

/** Whether something is wider than the page. */
const overflows = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)

test('a model without a template opens the Code pane, which suggests, and Tab takes it', withCode, async (t) => {
  const { url } = await servePage(t, code())
  const page = await open(t)
  await page.goto(url)
  const editor = page.locator('.cm-content')
  await editor.waitFor()
  await page.waitForFunction(() => {
    const ghost = document.querySelector('.editor')?.shadowRoot?.querySelector('.cm-ghost')
    return (ghost?.textContent ?? '').length > 3
  })
  const ghost = (await page.locator('.cm-ghost').textContent())!
  const before = (await editor.textContent())!.replaceAll(/\s+/g, '')
  await page.keyboard.press('Tab')
  await page.waitForFunction(
    (length) => (localStorage.getItem('incipit.code.text') ?? '').replaceAll(/\\n|\s+/g, '').length >= length,
    before.length,
  )
  const kept = JSON.parse((await page.evaluate(() => localStorage.getItem('incipit.code.text')))!) as string
  assert.ok(kept.includes(`of ${ghost}`), `${kept} goes on with ${ghost}`)
  // How much of a suggestion was there at Tab is a matter of time, and so is what comes next: a bracket and a brace are taken.
  const nextGhost = async () => {
    await page.waitForFunction(() => {
      const next = document.querySelector('.editor')?.shadowRoot?.querySelector('.cm-ghost')
      return (next?.textContent.trim() ?? '').length >= 3
    })
    return (await page.locator('.cm-ghost').textContent())!
  }
  let next = await nextGhost()
  while (!/^\s*\w{3}/.test(next)) {
    await page.keyboard.press('Tab')
    await page.waitForFunction((taken) => {
      const ghost = document.querySelector('.editor')?.shadowRoot?.querySelector('.cm-ghost')
      return ghost?.textContent !== taken
    }, next)
    next = await nextGhost()
  }
  // What is typed as suggested only shortens the suggestion.
  const typed = /^\s*\S/.exec(next)![0]
  await page.keyboard.insertText(typed)
  assert.ok((await page.locator('.cm-ghost').textContent())!.startsWith(next.slice(typed.length)))
  await page.getByText('suggestion there before the last key').waitFor()
  // What is not suggested gets another suggestion.
  await page.keyboard.type('@')
  await page.getByText(/suggestion \d+ ms after the last key/).waitFor()
  // Where text stands below, nothing of it is moved.
  await page.keyboard.press('Control+Home')
  await page.keyboard.type('f')
  await page.locator('.cm-ghost').waitFor()
  await page.waitForFunction(() => /(\d+) of \1 tokens read/.test(document.querySelector('.read')?.textContent ?? ''))
  const inFirst = await page.locator('.cm-line').first().locator('.cm-ghost').textContent()
  assert.doesNotMatch(inFirst!, /\n/)
  await page.keyboard.press('Escape')
  await page.waitForFunction(() => !document.querySelector('.editor')?.shadowRoot?.querySelector('.cm-ghost'))
  await page.getByRole('link', { name: 'Chat' }).click()
  await page.getByText('This model does not chat').waitFor()
  assert.deepEqual(await barriers(page), [])
})

test('the race finishes, and its link shows the result', withChat, async (t) => {
  const { url } = await servePage(t, chat())
  const page = await open(t)
  await page.goto(`${url}/#race`)
  await page.getByLabel('The same question, asked twice').fill('')
  await page.getByLabel('The same question, asked twice').pressSequentially('Name a colour.', { delay: 20 })
  await page.keyboard.press('Enter')
  await page.getByLabel('Result').waitFor({ timeout: 60_000 })
  const texts = await page.locator('.lane-text').allInnerTexts()
  assert.equal(texts[0], texts[1])
  assert.notEqual(texts[0], '')
  assert.match((await page.locator('.result').textContent())!, /(earlier|later): the first word that stayed/)
  assert.deepEqual(await barriers(page), [])
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.getByRole('button', { name: 'Copy a link' }).click()
  const link = await page.evaluate(() => navigator.clipboard.readText())
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save as a picture' }).click()
  assert.equal((await download).suggestedFilename(), 'incipit-race.png')
  const other = await open(t)
  await other.goto(link)
  await other.getByLabel('Result').waitFor()
})

test('the pipeline shows what ran, request by request, and the token view who proposed what', withChat, async (t) => {
  const { url } = await servePage(t, chat())
  const page = await open(t)
  await page.goto(`${url}/#pipeline`)
  await page.getByLabel('Likely tokens').check()
  await page.getByRole('link', { name: 'Chat' }).click()
  await type(page, 'Say hello to the sea.')
  await page.keyboard.press('Enter')
  const reply = await replyOf(page)
  await page.getByRole('button', { name: 'Tokens' }).click()
  await page.locator('.tokens').waitFor()
  const tokens = await page.locator('.tokens .token').allTextContents()
  const shown = tokens.join('').replaceAll(/[·↵⇥\s]+/g, '')
  assert.ok(shown.startsWith(reply.replaceAll(/\s+/g, '').slice(0, 10)), `${shown} is ${reply}`)
  await page.getByLabel('What the model held likeliest').waitFor()
  await page.locator('.tokens .token').first().focus()
  await page.keyboard.press('ArrowRight')
  assert.equal(await page.locator('.token[aria-pressed=true]').textContent(), tokens[1])
  await page.getByRole('link', { name: 'Pipeline' }).click()
  await page.locator('.requests tbody tr').first().waitFor()
  await page.getByRole('img', { name: 'What the engine does' }).focus()
  for (const key of ['ArrowLeft', '+', '-', ' ']) await page.keyboard.press(key)
  await page.locator('.u-over').first().waitFor()
  assert.match(await stepUnderPointer(page), /rows? in .* m?s[\s\S]*\n“.+”/)
  assert.deepEqual(await barriers(page), [])
})

/** What the waterfall says of the first step that the pointer finds, from the right. */
async function stepUnderPointer(page: Page): Promise<string> {
  await page.keyboard.press('-')
  const { x, y, width } = (await page.getByRole('img', { name: 'What the engine does' }).boundingBox())!
  for (let left = width - 2; left > 0; left -= 2) {
    await page.mouse.move(x + left, y + 40)
    const tip = page.locator('.tip')
    if ((await tip.count()) > 0) return (await tip.textContent())!
  }
  return 'nothing'
}

for (const theme of ['light', 'dark'] as const) {
  test(`nothing serious keeps anybody from chat and settings, ${theme}`, withChat, async (t) => {
    const { url } = await servePage(t, chat())
    const page = await open(t)
    await page.emulateMedia({ colorScheme: theme })
    await page.goto(url)
    await type(page, 'Write **two** words and a list.')
    await page.waitForFunction(() => document.querySelector('.preview .provisional') !== null)
    assert.deepEqual(await barriers(page), [])
    await page.keyboard.press('Enter')
    await replyOf(page)
    assert.deepEqual(await barriers(page), [])
    await page.getByRole('button', { name: 'Settings' }).click()
    assert.deepEqual(await barriers(page), [])
    await page.getByLabel('Temperature').fill('0.7')
    await page.keyboard.press('Escape')
    await page.reload()
    await page.getByRole('button', { name: 'Settings' }).click()
    assert.equal(await page.getByLabel('Temperature').inputValue(), '0.7')
  })
}

test('the keyboard alone reaches everything', withChat, async (t) => {
  const { url } = await servePage(t, chat())
  const page = await open(t)
  await page.goto(url)
  await page.locator('.composer').waitFor()
  const reached = new Set<string>()
  for (let i = 0; i < 25; i++) {
    await page.keyboard.press('Tab')
    reached.add(
      await page.evaluate(() => {
        const at = document.activeElement
        return at?.getAttribute('aria-label') ?? at?.textContent ?? ''
      }),
    )
  }
  for (const name of [
    'Chat',
    'Code',
    'Race',
    'Pipeline',
    'Settings',
    'New conversation',
    'Message',
    'Attach text files',
  ])
    assert.ok(reached.has(name), `${name} is among ${[...reached].join(', ')}`)
})

test('a phone, twice the size, and text from right to left', withChat, async (t) => {
  const { url } = await servePage(t, chat())
  const page = await openPhone(t)
  for (const pane of ['chat', 'code', 'race', 'pipeline']) {
    await page.goto(`${url}/#${pane}`)
    await page.locator(`.${pane}-pane > :not(.empty)`).first().waitFor()
    assert.equal(await overflows(page), false, pane)
    assert.deepEqual(await barriers(page), [], pane)
  }
  await page.goto(`${url}/#chat`)
  await type(page, 'שלום עולם')
  await page.keyboard.press('Enter')
  await replyOf(page)
  const direction = await page.locator('.bubble').evaluate((bubble) => getComputedStyle(bubble).direction)
  assert.equal(direction, 'rtl')
  assert.deepEqual(await barriers(page), [])
  // Half the width in CSS pixels is what 200% zoom leaves of a window.
  const wide = await open(t)
  await wide.setViewportSize({ width: 550, height: 380 })
  await wide.goto(url)
  assert.equal(await overflows(wide), false)
  await wide.locator('.composer textarea').waitFor()
})
