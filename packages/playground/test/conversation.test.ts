import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { ModelPool } from '@incipit/server'
import { IncipitError } from '../../engine/src/api/errors.ts'
import { emptyStats } from '../../engine/src/api/stats.ts'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { delta, done, guess, says } from '../../server/test/fake-engine.ts'
import { type FakeRealtimeEngine, fakeRealtimeEngine } from '../../server/test/realtime-fake.ts'
import { browser, noBrowser } from './helpers/browser.ts'
import { replyOf, servePage, type } from './helpers/served-page.ts'

const open = browser({ viewport: { width: 1100, height: 760 }, permissions: ['clipboard-read', 'clipboard-write'] })
const fake = { skip: noBrowser || (full ? false : 'runs with npm run test:full'), timeout: 60_000 }

test('text files go with a message, and others are refused', fake, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Two lines.'), done()))
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  const file = (name: string, content: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(content) })
  const picker = page.locator('input[type=file]')
  await picker.setInputFiles([file('notes.txt', 'one\ntwo\n'), file('other.txt', 'x'), file('picture.png', 'a\0b')])
  await page.getByRole('alert').getByText('picture.png is not a text file.').waitFor()
  await page.getByRole('button', { name: 'Remove other.txt' }).click()
  await type(page, 'How many lines?')
  await page.keyboard.press('Enter')
  assert.equal(await replyOf(page), 'Two lines.')
  const content = 'notes.txt:\n```\none\ntwo\n```\n\nHow many lines?'
  assert.deepEqual(engine.requests[0]!.messages, [{ role: 'user', content }])
  assert.equal(await page.locator('.enclosed li').count(), 0)
  await page.getByRole('button', { name: 'Copy the reply' }).click()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'Two lines.')
})

test('what is final is read aloud, sentence by sentence, and what may be taken back is not', fake, async (t) => {
  const engine = fakeRealtimeEngine(async function* () {
    yield guess(1, 0, 'Perhaps. No. ')
    await wait(100)
    yield delta('The sky is blue. ')
    yield guess(2, 17, 'It may rain. ')
    await wait(100)
    yield delta('The sea is, ')
    await wait(100)
    yield delta('too')
    yield done()
  })
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await page.evaluate(() => {
    const heard: string[] = []
    Object.assign(globalThis, { heard })
    const log = document.querySelector('[aria-live]')!
    new MutationObserver(() => heard.push(log.textContent)).observe(log, {
      subtree: true,
      childList: true,
      characterData: true,
    })
  })
  await type(page, 'And the sea?')
  await page.keyboard.press('Enter')
  await replyOf(page)
  const heard = await page.evaluate(() => (globalThis as unknown as { heard: string[] }).heard)
  assert.deepEqual(heard, ['The sky is blue.', ' The sea is, too'])
})

test('an idle page keeps no model in memory, and goes on when somebody types', fake, async (t) => {
  const engines: FakeRealtimeEngine[] = []
  const start = async () => {
    const engine = fakeRealtimeEngine(says(delta('Here.'), done()))
    engines.push(engine)
    return { ...engine, stats: emptyStats, costProfile: () => [], limitThreads() {}, async close() {} }
  }
  const models = new ModelPool([{ name: 'a', weights: 1, idleMs: 200, start }], { memory: 10 })
  t.after(() => models.close())
  const { url } = await servePage(t, models)
  const page = await open(t)
  await page.goto(url)
  await type(page, 'Are you ')
  // Once it is unloaded nothing loads it again.
  for (let known = 0; known !== engines.length || models.list()[0]!.status !== 'unloaded'; await wait(600)) {
    known = engines.length
  }
  assert.equal(await page.locator('.trouble').count(), 0)
  await type(page, 'there?')
  await page.keyboard.press('Enter')
  assert.equal(await replyOf(page), 'Here.')
  const requests = engines.flatMap(({ requests }) => requests)
  assert.deepEqual(requests[0]!.messages, [{ role: 'user', content: 'Are you there?' }])
})

test('an engine that is started again is said, and then no more', fake, async (t) => {
  let dead = true
  const stats = () => {
    if (dead) throw new IncipitError('engine_died', 'the engine died and is being started again')
    return emptyStats()
  }
  const engine = { ...fakeRealtimeEngine(says(delta('Yes.'), done())), stats, costProfile: () => [] }
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await page.getByText('The engine is being started again.').waitFor()
  dead = false
  await page.waitForFunction(() => document.querySelector('.trouble') === null)
  assert.equal(await page.locator('.light.on').count(), 1)
})

test('how much of a message was read ahead is said, and nothing of it where nothing was', fake, async (t) => {
  const usage = { promptTokens: 50, completionTokens: 1, acceptedPredictionTokens: 0, rejectedPredictionTokens: 0 }
  const ready = [50, 31, 0]
  const engine = fakeRealtimeEngine(async function* (_, index) {
    yield delta('Yes.')
    yield done('stop', { usage: { ...usage, cachedTokens: ready[index]! } })
  })
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  const said = ['all 50 prompt tokens read ahead', '31 of 50 prompt tokens read ahead', 'prompt of 50 tokens']
  for (const [i, words] of said.entries()) {
    await type(page, 'So?')
    await page.keyboard.press('Enter')
    await page.locator('.message.reply footer').nth(i).getByText(words).waitFor()
    assert.equal(await page.locator('#read').textContent(), '', 'the bar is that of the next message')
  }
})
