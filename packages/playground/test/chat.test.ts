import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { ConstraintChecks } from '@incipit/constraint'
import compile from '@incipit/constraint/compiler'
import type { Page } from 'playwright-core'
import { IncipitError } from '../../engine/src/api/errors.ts'
import { emptyStats } from '../../engine/src/api/stats.ts'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { delta, done, guess, says } from '../../server/test/fake-engine.ts'
import { loaded, missing, smol } from '../../server/test/models.ts'
import { fakeRealtimeEngine } from '../../server/test/realtime-fake.ts'
import { browser, noBrowser } from './helpers/browser.ts'
import { replyOf, servePage, type } from './helpers/served-page.ts'

const engine = loaded(smol, { contextLength: 1024, constraints: compile })
const constraints = new ConstraintChecks()
after(() => constraints[Symbol.dispose]())
const open = browser({ viewport: { width: 1100, height: 760 }, permissions: ['clipboard-read', 'clipboard-write'] })
const fake = { skip: noBrowser, timeout: 60_000 }
const real = { skip: missing(smol) || noBrowser, timeout: 120_000 }
/** What an engine says of itself. */
const counters = { stats: emptyStats, costProfile: () => [] }

test('typing is read, answered in grey before Enter, and turns to ink: the API’s own text', real, async (t) => {
  const { url } = await servePage(t, engine())
  const page = await open(t)
  await page.goto(url)
  await type(page, 'What is the opposite of hot? One word.')
  await page.getByText('tokens, all read').waitFor()
  await page.waitForFunction(() => (document.querySelector('.preview .provisional')?.textContent ?? '').length > 2)
  const grey = await page.locator('.preview .markdown').textContent()
  await page.keyboard.press('Enter')
  const reply = await replyOf(page)
  assert.ok(reply.startsWith(grey!.trim()), `${reply} begins with ${grey}`)
  assert.equal(await page.locator('.provisional').count(), 0)
  assert.match((await page.locator('.account').textContent())!, /first word [\d.]+ m?s before Enter/)
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      messages: [{ role: 'user', content: 'What is the opposite of hot? One word.' }],
      temperature: 0,
      max_tokens: 512,
    }),
  })
  const body = (await answer.json()) as { choices: { message: { content: string } }[] }
  assert.equal(reply.replaceAll(/\s+/g, ''), body.choices[0]!.message.content.replaceAll(/\s+/g, ''))
})

test('what a model writes stays text', fake, async (t) => {
  const hostile = [
    '<img src=x onerror="document.title=1"><script>document.title=2</script>',
    '[a](javascript:document.title=3) [b](data:text/html,x) ![c](https://elsewhere.example/c.png)',
    '<a href="https://elsewhere.example" onclick="document.title=4">d</a>',
    '<iframe src="https://elsewhere.example"></iframe><style>*{display:none}</style>',
    '[fine](https://elsewhere.example/page)',
  ].join('\n\n')
  const { url } = await servePage(t, fakeRealtimeEngine(says(guess(1, 0, hostile), delta(hostile), done())))
  const page = await open(t)
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(url)
  await type(page, 'Be evil.')
  await page.keyboard.press('Enter')
  const reply = await replyOf(page)
  assert.ok(reply.includes('<script>document.title=2</script>'))
  const found = await page.locator('.markdown').evaluate((root) => ({
    elements: root.querySelectorAll('img, script, iframe, style, [onclick], [onerror]').length,
    links: [...root.querySelectorAll('a')].map(({ href }) => href),
    title: document.title,
  }))
  assert.deepEqual(found, { elements: 0, links: ['https://elsewhere.example/page'], title: 'incipit' })
  assert.deepEqual(
    requests.filter((request) => !request.startsWith(url)),
    [],
  )
})

test('a guess that is taken back goes calmly: nothing moves', fake, async (t) => {
  const long =
    'This guess is long enough to fill more than one line of the page, so that something could move. '.repeat(4)
  const steps = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const engine = fakeRealtimeEngine(async function* () {
    yield guess(1, 0, long)
    await steps[0]!.promise
    yield { ...guess(2, 0, ''), reason: 'mismatch' }
    await steps[1]!.promise
    yield delta('Another word. ')
    await steps[2]!.promise
    yield guess(3, 14, 'And so on.')
    await steps[3]!.promise
    yield delta('And so on.')
    yield done()
  })
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await type(page, 'Go.')
  await page.keyboard.press('Enter')
  const shown = page.locator('.coming .markdown')
  await page.waitForFunction(() => (document.querySelector('.coming .provisional')?.textContent ?? '').length > 100)
  // Shifts within half a second of a key do not count, and these are to count.
  await wait(700)
  await page.evaluate(() => {
    const shifts: number[] = []
    Object.assign(globalThis, { shifts })
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) shifts.push((entry as unknown as { value: number }).value)
    }).observe({ type: 'layout-shift' })
  })
  const box = await page.locator('.coming').boundingBox()
  steps[0]!.resolve()
  await page.waitForFunction(() => document.querySelector('.coming .provisional') === null)
  assert.deepEqual(await page.locator('.coming').boundingBox(), box)
  steps[1]!.resolve()
  await page.waitForFunction(() => document.querySelector('.coming .markdown')?.textContent === 'Another word. ')
  steps[2]!.resolve()
  await page.waitForFunction(() => document.querySelector('.coming .provisional')?.textContent === 'And so on.')
  assert.equal(await shown.textContent(), 'Another word. And so on.')
  await wait(200)
  assert.deepEqual(await page.evaluate(() => (globalThis as unknown as { shifts: number[] }).shifts), [])
  steps[3]!.resolve()
  assert.equal(await replyOf(page), 'Another word. And so on.')
})

const tools = [
  {
    name: 'get_weather',
    description: 'The weather in a city.',
    parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] },
  },
]

/** Events that the page sends over its socket from now on. */
function sentEvents(page: Page): { type: string; [field: string]: unknown }[] {
  const events: { type: string }[] = []
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => events.push(JSON.parse(String(payload))))
  })
  return events
}

test('a tool is called, asked about in a form, and its result is answered', real, async (t) => {
  const { url } = await servePage(t, engine(), { constraints })
  const page = await open(t)
  const events = sentEvents(page)
  await page.goto(url)
  await page.getByRole('button', { name: 'Settings' }).click()
  await page.getByLabel('Tools that the model may call').fill('[{"title": "no name"}]')
  await page.getByText('Function 1 has no name.').waitFor()
  await page.getByLabel('Tools that the model may call').fill(JSON.stringify(tools))
  await page.getByLabel('It calls one').selectOption('required')
  await page.getByRole('button', { name: 'Done' }).click()
  await type(page, 'What is the weather in Paris?')
  await page.getByText('tokens, all read').waitFor()
  await page.keyboard.press('Enter')
  const result = page.getByLabel('Result of get_weather', { exact: true })
  await result.waitFor()
  assert.match((await page.locator('.call').textContent())!, /^get_weather\(\{"city": "(?:Paris|Rome)"\}\)$/)
  await page.getByRole('button', { name: 'Tokens' }).click()
  assert.match((await page.getByLabel('Tokens of the reply').textContent())!, /get_weather|get/)
  events.length = 0
  await result.fill('It is 19 degrees and sunny.')
  await page.getByRole('button', { name: 'Give the result' }).click()
  await page.locator('.message.reply footer').nth(1).waitFor()
  assert.equal(await page.locator('.message.result-of').textContent(), 'get_weather gave It is 19 degrees and sunny.')
  const { messages } = events.find(({ type }) => type === 'conversation.replace') as unknown as { messages: Said[] }
  const [question, call, answer] = messages
  assert.deepEqual([question!.role, call!.role, answer!.role], ['user', 'assistant', 'tool'])
  assert.equal(answer!.tool_call_id, call!.tool_calls![0]!.id)
  // It is to be used, not asked for once more.
  assert.deepEqual(events.find(({ type }) => type === 'response.create')!.response, { tool_choice: 'auto' })
  // Without tools the conversation goes on as it is.
  await page.getByRole('button', { name: 'Remove Tool' }).click()
  await type(page, 'Thanks.')
  await page.keyboard.press('Enter')
  await page.locator('.message.reply footer').nth(2).waitFor()
  assert.equal(await page.locator('.problem:not(:empty)').count(), 0)
})

interface Said {
  role: string
  tool_calls?: { id: string }[]
  tool_call_id?: string
}

test(
  'a reply of some form is begun while its question is typed, and one that cannot be is not asked for',
  real,
  async (t) => {
    if (!full) return t.skip('runs with npm run test:full')
    const { url } = await servePage(t, engine(), { constraints })
    const page = await open(t)
    await page.goto(url)
    await page.getByRole('button', { name: 'Settings' }).click()
    const schema = page.getByLabel('JSON schema of replies')
    await schema.fill(
      '{"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}',
    )
    await page.getByRole('button', { name: 'Done' }).click()
    await type(page, 'Name one of the two colours of a traffic light, and say nothing else about it.')
    await page.waitForFunction(() => document.querySelector('.preview .provisional')?.textContent?.includes('colour'))
    await page.keyboard.press('Enter')
    const reply = await replyOf(page)
    assert.ok(['red', 'green'].includes((JSON.parse(reply) as { colour: string }).colour), reply)
    assert.match((await page.locator('.account').textContent())!, /first word [\d.]+ m?s before Enter/)
    await page.getByRole('button', { name: 'Settings' }).click()
    await schema.fill('{"type": "array", "uniqueItems": true}')
    await page.getByRole('button', { name: 'Done' }).click()
    const problem = page.getByText('"uniqueItems" cannot be enforced')
    await problem.waitFor()
    await type(page, 'Again.')
    await page.keyboard.press('Enter')
    assert.equal(await page.locator('.composer textarea').inputValue(), 'Again.')
    await page.getByRole('button', { name: 'Remove JSON schema' }).click()
    await problem.waitFor({ state: 'detached' })
    await page.locator('.composer textarea').press('Enter')
    await page.locator('.message.reply footer').nth(1).waitFor()
  },
)

test('of several models one is chosen', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engines = ['Alma', 'Bert'].map((name) => ({
    ...fakeRealtimeEngine(says(delta(`I am ${name}.`), done())),
    ...counters,
    name,
  }))
  const use = async (asked = 'Alma') => {
    const engine = engines.find(({ name }) => name === asked)
    if (!engine) throw new Error(`${asked} is not there`)
    return { name: asked, engine, defaults: {}, stay: () => ({ use: () => () => {} }), [Symbol.dispose]: () => {} }
  }
  const { url } = await servePage(t, {
    failure: undefined,
    list: () => engines.map(({ name }) => ({ name, aliases: [], status: 'loaded' })),
    use,
    useEmbedder: () => Promise.reject(new Error('none')),
    loaded: () => undefined,
    follow: () => () => {},
  })
  const page = await open(t)
  await page.goto(url)
  const ask = async () => {
    await type(page, 'Who are you?')
    await page.keyboard.press('Enter')
    return replyOf(page)
  }
  const choice = page.getByRole('combobox', { name: 'Model', exact: true })
  assert.equal(await choice.inputValue(), 'Alma')
  assert.equal(await ask(), 'I am Alma.')
  await choice.selectOption('Bert')
  await page.getByRole('button', { name: 'New conversation' }).click()
  assert.equal(await ask(), 'I am Bert.')
  await page.reload()
  assert.equal(await choice.inputValue(), 'Bert')
})

test('a full queue is said, and asked again', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engine = fakeRealtimeEngine(async function* (_, index) {
    if (index === 0) throw new IncipitError('overloaded', '1024 requests wait already')
    yield delta('Now.')
    yield done()
  })
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await type(page, 'Is there room?')
  await page.keyboard.press('Enter')
  await page.getByText('1024 requests wait already').waitFor()
  await page.getByLabel('Answer again').click()
  await page.locator('.markdown').getByText('Now.').waitFor()
  assert.equal(await page.locator('.message.user').count(), 1)
})

test('grey and ink share one layout, wherever the committed text ends', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const text = 'Some *words*:\n\n```python\ndef f(x):\n    return x\n```\n\n- one\n- two\n\n## End'
  const cuts = [0, 3, 8, 13, 15, 18, 24, 36, 50, 54, 56, 60, 66, text.length - 3]
  const engine = fakeRealtimeEngine(async function* () {
    let rev = 0
    for (const [i, cut] of cuts.entries()) {
      const before = cuts[i - 1] ?? 0
      if (cut > before) yield delta(text.slice(before, cut))
      yield guess(++rev, cut, text.slice(cut))
      await wait(60)
    }
    yield delta(text.slice(cuts.at(-1)))
    yield done()
  })
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await page.evaluate(() => {
    const seen: string[] = []
    Object.assign(globalThis, { seen })
    const outline = (node: Element): string =>
      [...node.children]
        .filter(({ tagName }) => tagName !== 'SPAN' && tagName !== 'BUTTON')
        .map((child) => child.tagName + outline(child))
        .join()
    new MutationObserver(() => {
      const root = document.querySelector('.coming .markdown')
      if (root?.textContent) seen.push(outline(root))
    }).observe(document.body, { subtree: true, childList: true, characterData: true })
  })
  await type(page, 'Go.')
  await page.keyboard.press('Enter')
  await replyOf(page)
  const outlines = await page.evaluate(() => [...new Set((globalThis as unknown as { seen: string[] }).seen)])
  assert.deepEqual(outlines, ['PEM,SECTIONPRECODE,ULLI,LI,H4'])
})

test('an input method and a paste arrive as they read', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engine = fakeRealtimeEngine(says(delta('はい。'), done()))
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  const field = page.locator('.composer textarea')
  await field.focus()
  const devtools = await page.context().newCDPSession(page)
  const compose = (text: string) =>
    devtools.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length })
  for (const text of ['か', 'かん', 'かんじ', '漢字']) await compose(text)
  await devtools.send('Input.insertText', { text: '漢字' })
  await page.evaluate(() => navigator.clipboard.writeText('は難しい😀ですか'))
  await page.keyboard.press('Control+V')
  await page.waitForFunction(() =>
    document.querySelector<HTMLTextAreaElement>('.composer textarea')?.value.endsWith('か'),
  )
  await page.keyboard.press('Control+Z')
  await page.keyboard.press('Control+Shift+Z')
  await page.keyboard.press('Enter')
  assert.equal(await replyOf(page), 'はい。')
  assert.deepEqual(engine.requests[0]!.messages, [{ role: 'user', content: '漢字は難しい😀ですか' }])
})

test('stop, answer again, edit and send again', real, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const { url } = await servePage(t, engine())
  const page = await open(t)
  await page.goto(url)
  await type(page, 'Tell me a very long story about a dragon.')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => (document.querySelector('.coming.reply')?.textContent ?? '').length > 40)
  await page.getByLabel('Stop the reply').click()
  await replyOf(page)
  await page.getByText('stopped', { exact: false }).waitFor()
  await page.getByLabel('Edit and send again').click({ force: true })
  await page.getByLabel('Your message').fill('Say only: yes.')
  await page.getByLabel('Your message').press('Enter')
  const first = await replyOf(page)
  await page.getByLabel('Answer again').click()
  await page.waitForFunction(() => document.querySelector('.coming') === null)
  assert.equal(await replyOf(page), first)
  assert.equal(await page.locator('.message.user').count(), 1)
})

test('conversations are kept, named, exported and deleted', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const { url } = await servePage(t, fakeRealtimeEngine(says(delta('Yes.'), done())))
  const page = await open(t)
  await page.goto(url)
  for (const question of ['First?', 'Second?']) {
    await page.getByRole('button', { name: 'New conversation' }).first().click()
    await type(page, question)
    await page.keyboard.press('Enter')
    await replyOf(page)
  }
  await page.reload()
  await page.getByRole('button', { name: 'First?' }).click()
  await page.getByLabel('You', { exact: true }).getByText('First?').waitFor()
  await page.getByLabel('Rename').click()
  await page.getByLabel('Name of the conversation').fill('The first one')
  await page.keyboard.press('Enter')
  const download = page.waitForEvent('download')
  await page.getByLabel('Export').click()
  assert.equal((await download).suggestedFilename(), 'The-first-one.md')
  await page.getByLabel('Delete').click()
  assert.equal(await page.getByRole('button', { name: 'The first one' }).count(), 0)
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByRole('button', { name: 'The first one' }).waitFor()
  await page.getByLabel('Delete').click()
  await page.getByLabel('You', { exact: true }).getByText('Second?').waitFor()
})

test('a lost server is said, and what was typed is answered when it is back', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engine = { ...fakeRealtimeEngine(says(delta('Back.'), done())), ...counters }
  const first = await servePage(t, engine)
  const page = await open(t)
  await page.goto(first.url)
  await type(page, 'Are you ')
  await first.close()
  await page.getByText('The server cannot be reached.').waitFor()
  await type(page, 'there?')
  await page.keyboard.press('Enter')
  await servePage(t, engine, { port: first.port })
  assert.equal(await replyOf(page), 'Back.')
  assert.deepEqual(engine.requests.at(-1)!.messages, [{ role: 'user', content: 'Are you there?' }])
  await page.waitForFunction(() => document.querySelector('.trouble') === null)
})

test('the key is asked for', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engine = { ...fakeRealtimeEngine(says(delta('Open.'), done())), ...counters }
  const { url } = await servePage(t, engine, { apiKey: 'sesame' })
  const page = await open(t)
  await page.goto(url)
  await page.getByText('This server wants its API key').waitFor()
  await page.locator('.trouble button').click()
  await page.getByLabel('API key').fill('sesame')
  await page.getByRole('button', { name: 'Done' }).click()
  await type(page, 'Knock.')
  await page.keyboard.press('Enter')
  assert.equal(await replyOf(page), 'Open.')
})

test('it works from another machine, where browsers let pages do less', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const { url } = await servePage(t, fakeRealtimeEngine(says(delta('Yes.'), done())))
  const page = await open(t)
  await page.addInitScript(() => {
    Reflect.deleteProperty(Crypto.prototype, 'randomUUID')
    Reflect.deleteProperty(Navigator.prototype, 'clipboard')
  })
  await page.goto(url)
  await type(page, 'Are you there?')
  await page.keyboard.press('Enter')
  assert.equal(await replyOf(page), 'Yes.')
  assert.equal(await page.getByLabel('Copy the reply').count(), 0)
})

test('what a model thinks stands folded before its reply', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const spoken = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* () {
    yield delta('<think>It asks for a colour.')
    await spoken.promise
    yield delta('</think>Red.')
    yield done()
  })
  const reasoning = { start: '<think>', end: '</think>' }
  const { url } = await servePage(t, {
    ...engine,
    info: { ...engine.info, reasoning },
    renderChat: async () => '',
  })
  const page = await open(t)
  await page.goto(url)
  await type(page, 'A colour?')
  await page.keyboard.press('Enter')
  await page.locator('.coming .thoughts').getByText('It asks for a colour.').first().waitFor()
  spoken.resolve()
  assert.equal(await replyOf(page), 'Red.')
  await page.getByText('Thoughts').click()
  assert.equal(await page.locator('.thoughts p').textContent(), 'It asks for a colour.')
})

test('nothing in a preview is reached by keys: it is not read aloud, and may be gone', fake, async (t) => {
  if (!full) return t.skip('runs with npm run test:full')
  const engine = fakeRealtimeEngine(says(delta('Yes.'), done()))
  const { url } = await servePage(t, engine)
  const page = await open(t)
  await page.goto(url)
  await type(page, 'Some code?')
  const preview = '```js\nlet x\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'
  engine.inputs.at(-1)!.options.onPreview!(guess(1, 0, preview))
  await page.locator('.preview .code-block').waitFor()
  await page.locator('.preview table').waitFor()
  assert.equal(await page.locator('.preview [tabindex="0"], .preview button').count(), 0)
})
