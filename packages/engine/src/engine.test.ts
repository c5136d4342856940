import assert from 'node:assert/strict'
import { mkdtemp, open, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { model } from '../test/fixtures/gguf.ts'
import type { DoneEvent, GenerateEvent, GenerateRequest, Generation } from './api/index.ts'
import { Engine } from './engine.ts'
import { readGguf } from './gguf/index.ts'
import { Context } from './llama/context.ts'

const stories = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const { skip } = stories
const threads = 1

let cacheDir: string
let engine: Engine

before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-engine-'))
  if (!skip) engine = await Engine.load(stories.path, { cacheDir, threads, cut: 'none', parallel: 2 })
})
after(async () => {
  await engine?.close()
  await rm(cacheDir, { recursive: true, force: true })
})

interface Answer {
  text: string
  done: DoneEvent
  events: GenerateEvent[]
}

async function read(generation: Generation): Promise<Answer> {
  const events: GenerateEvent[] = []
  let text = ''
  for await (const event of generation) {
    events.push(event)
    if (event.type === 'delta') text += event.text
  }
  const done = events.at(-1)
  assert.equal(done?.type, 'done')
  return { text, done: done as DoneEvent, events }
}

/** After whatever happened: nothing runs, no row is left, and the next request gives the text it should. */
async function assertClean(engine: Engine, request: GenerateRequest, expected: string): Promise<void> {
  await engine.idle()
  const { running, waiting, cellsUsed } = engine.stats()
  assert.deepEqual({ running, waiting, cellsUsed }, { running: 0, waiting: 0, cellsUsed: 0 })
  assert.deepEqual(engine.audit(), [])
  assert.equal((await read(engine.generate(request))).text, expected)
}

const once: GenerateRequest = { prompt: 'Once upon a time', maxTokens: 20 }

test('a request that asks for it hears how much of its prompt is computed, before its first text', {
  skip,
}, async () => {
  const request: GenerateRequest = {
    prompt: 'Once upon a time there was a dog. '.repeat(12),
    maxTokens: 4,
    cachePrompt: false,
  }
  const plain = await read(engine.generate(request))
  assert.ok(plain.events.every(({ type }) => type !== 'progress'))
  const { text, events, done } = await read(engine.generate({ ...request, progress: true }))
  assert.equal(text, plain.text)
  const told = events.filter((event) => event.type === 'progress')
  assert.deepEqual(events.slice(0, told.length), told)
  const { promptTokens } = done.usage
  assert.equal(told[0]!.computedTokens, 0)
  assert.equal(told.at(-1)!.computedTokens, promptTokens)
  assert.ok(told.at(-1)!.ms > 0)
  for (const [i, event] of told.entries()) {
    assert.deepEqual([event.promptTokens, event.cachedTokens], [promptTokens, 0])
    if (i > 0) assert.ok(event.computedTokens > told[i - 1]!.computedTokens)
  }

  const warm: GenerateRequest = { prompt: request.prompt!, maxTokens: 4, progress: true }
  await read(engine.generate(warm))
  const again = await read(engine.generate(warm))
  const [first] = again.events
  assert.ok(first?.type === 'progress' && first.cachedTokens > 20)
  assert.equal(first.computedTokens, first.cachedTokens)
})

test('a reply ends after maxTokens, and the same request gives the same text', { skip }, async () => {
  const first = await read(engine.generate(once))
  assert.equal(first.done.finishReason, 'length')
  assert.equal(first.done.usage.completionTokens, 20)
  assert.ok(first.text.length > 20)
  await assertClean(engine, once, first.text)
})

test('cancelled in the reply, by each of the ways to say it', { skip }, async () => {
  const { text } = await read(engine.generate(once))
  const endless: GenerateRequest = { prompt: 'Once upon a time', maxTokens: 400 }
  const controller = new AbortController()
  const ways: [string, GenerateRequest, (generation: Generation) => void][] = [
    ['cancel()', endless, (generation) => generation.cancel()],
    ['an AbortSignal', { ...endless, signal: controller.signal }, () => controller.abort()],
  ]
  for (const [way, request, cancel] of ways) {
    const generation = engine.generate(request)
    let seen = ''
    let reason: string | undefined
    for await (const event of generation) {
      if (event.type === 'delta') {
        seen += event.text
        cancel(generation)
      }
      if (event.type === 'done') reason = event.finishReason
    }
    assert.equal(reason, 'cancelled', way)
    assert.ok(text.startsWith(seen) || seen.startsWith(text))
    await assertClean(engine, once, text)
  }
  for await (const event of engine.generate(endless)) if (event.type === 'delta') break
  await assertClean(engine, once, text)
})

test('cancelled before admission, and before it began', { skip }, async () => {
  const { text } = await read(engine.generate(once))
  const running = [engine.generate(once), engine.generate(once)].map(read)
  const third = engine.generate(once)
  third.cancel()
  const { done, events } = await read(third)
  assert.equal(done.finishReason, 'cancelled')
  assert.equal(events.length, 1)
  for (const answer of await Promise.all(running)) assert.equal(answer.text, text)
  const aborted = await read(engine.generate({ ...once, signal: AbortSignal.abort() }))
  assert.equal(aborted.done.finishReason, 'cancelled')
  assert.equal(aborted.text, '')
  await assertClean(engine, once, text)
})

test('more requests than run at once wait, and all get their text', { skip }, async () => {
  const { text } = await read(engine.generate(once))
  const all = Array.from({ length: 7 }, () => read(engine.generate(once)))
  assert.ok(engine.stats().waiting > 0)
  for (const answer of await Promise.all(all)) assert.equal(answer.text, text)
  await assertClean(engine, once, text)
})

test('a full context is a finish reason', { skip }, async () => {
  for (const parallel of [1, 3]) {
    await using small = await Engine.load(stories.path, {
      cacheDir,
      threads,
      cut: 'none',
      parallel,
      contextLength: 48,
    })
    const request: GenerateRequest = { prompt: 'Once upon a time there was' }
    const { done, text } = await read(small.generate(request))
    assert.equal(done.finishReason, 'context')
    assert.equal(done.usage.promptTokens + done.usage.completionTokens, 48)
    await assertClean(small, request, text)
    const long = small.tokenize('word '.repeat(100))
    assert.throws(() => small.generate({ prompt: long }), { code: 'context_overflow' })
    const most = await read(small.generate({ prompt: long.slice(0, 47) }))
    assert.equal(most.done.usage.completionTokens, 1)
    await assertClean(small, request, text)
  }
})

test('the end of a reply is told before its rows are copied to be kept', { skip }, async (t) => {
  const happened: string[] = []
  const sequenceState = Context.prototype.sequenceState
  t.after(() => {
    Context.prototype.sequenceState = sequenceState
  })
  Context.prototype.sequenceState = function (sequence: number) {
    happened.push('copied')
    return sequenceState.call(this, sequence)
  }
  await read(engine.generate({ prompt: 'There was a very old tree in the middle of a wood', maxTokens: 2 }))
  happened.push('read')
  await engine.idle()
  assert.deepEqual(happened, ['read', 'copied'])
})

test('a stop string ends the reply before it', { skip }, async () => {
  const { text } = await read(engine.generate({ ...once, maxTokens: 60 }))
  const stop = text.slice(25, 29)
  const stopped = await read(engine.generate({ ...once, maxTokens: 60, stop: [stop] }))
  assert.equal(stopped.done.finishReason, 'stop')
  assert.equal(stopped.done.stopString, stop)
  assert.equal(stopped.text, text.slice(0, text.indexOf(stop)))
})

const malformed: [string, GenerateRequest, string][] = [
  ['an empty token list', { prompt: [] }, 'invalid_request'],
  ['a token outside the vocabulary', { prompt: [1, 100_000] }, 'invalid_request'],
  ['messages for a model without a template', { messages: [{ role: 'user', content: 'x' }] }, 'chat_template'],
  ['an empty stop string', { prompt: 'x', stop: [''] }, 'invalid_request'],
]
for (const [what, request, code] of malformed) {
  test(`refused at once: ${what}`, { skip }, () => {
    assert.throws(() => engine.generate(request), { name: 'IncipitError', code })
  })
}

test('a reply that begins with a given text goes on as the one that begins so by itself', { skip }, async () => {
  const plain = await read(engine.generate(once))
  const word = plain.text.slice(0, plain.text.search(/[a-z](?![a-z])/) + 1)
  assert.ok(word.trim().length > 1, plain.text)
  // Without the constraint half a word is something else to the model than the word.
  assert.equal((await read(engine.generate({ ...once, beginsWith: word.slice(0, -1) }))).text, plain.text)
  const other = await read(engine.generate({ ...once, beginsWith: ' Zoé ran' }))
  assert.ok(other.text.startsWith(' Zoé ran'), other.text)
})

test('a closed engine fails what is queued and takes nothing new', { skip }, async () => {
  const closing = await Engine.load(stories.path, { cacheDir, threads, cut: 'none', parallel: 1 })
  const replies = [0, 1, 2].map(() => read(closing.generate({ ...once, maxTokens: 400 })))
  const settled = Promise.allSettled(replies)
  await sleep(5)
  await closing.close()
  await closing.close()
  for (const result of await settled) {
    assert.equal(result.status, 'rejected')
    assert.equal((result as PromiseRejectedResult).reason.code, 'closed')
  }
  assert.throws(() => closing.generate(once), { code: 'closed' })
})

// --- the cut ------------------------------------------------------------------------------------------------------

test('a cut at impossible layers is an invalid request', { skip }, async () => {
  for (const cut of [[0], [5], [3, 2], [1.5]]) {
    await assert.rejects(Engine.load(stories.path, { cacheDir, threads, cut }), { code: 'invalid_request' }, `${cut}`)
  }
})

/** The stage files of the cut at 2, of the one model in the cache. */
async function stageFile(directory: string, from: number): Promise<string> {
  const names = await readdir(directory, { recursive: true })
  return join(directory, names.find((name) => name.includes(`-${from}-`) && name.endsWith('.gguf'))!)
}

test('a cut whose logits are not those of the model is refused; a broken stage file is made anew', {
  skip,
}, async (t) => {
  const own = await mkdtemp(join(tmpdir(), 'incipit-cut-'))
  t.after(() => rm(own, { recursive: true, force: true }))
  const load = () => Engine.load(stories.path, { cacheDir: own, threads, cut: [2] })
  const { text } = await read(engine.generate(once))
  {
    await using cut = await load()
    assert.deepEqual(cut.info.stages, [
      [0, 2],
      [2, 5],
    ])
    assert.equal(cut.info.cutRefused, undefined)
    assert.equal((await read(cut.generate(once))).text, text)
  }
  // One weight of the upper stage changes, and nobody remembers that it was right.
  const upper = await stageFile(own, 2)
  const tensor = (await readGguf(upper)).tensors.find(({ name }) => name === 'blk.1.ffn_down.weight')!
  const handle = await open(upper, 'r+')
  await handle.write(Float32Array.of(3, -3, 3, -3), 0, 16, tensor.offset)
  await handle.close()
  const names = await readdir(own, { recursive: true })
  await unlink(join(own, names.find((name) => name.includes('verified'))!))
  {
    const lines: string[] = []
    const log = (_: string, line: string) => lines.push(line)
    await using refused = await Engine.load(stories.path, { cacheDir: own, threads, cut: [2], log })
    assert.deepEqual(refused.info.stages, [[0, 5]])
    assert.match(refused.info.cutRefused!, /logits differ/)
    assert.ok(lines.some((line) => line.includes('runs as one stage') && line.includes('logits differ')))
    assert.equal((await read(refused.generate(once))).text, text)
  }
  await truncate(upper, 5000)
  await unlink(join(own, (await readdir(own, { recursive: true })).find((name) => name.includes('verified'))!))
  const lines: string[] = []
  const log = (_: string, line: string) => lines.push(line)
  await using mended = await Engine.load(stories.path, { cacheDir: own, threads, cut: [2], log })
  assert.ok(
    lines.some((line) => /a stage file is made anew: .*stage/.test(line)),
    lines.join('\n'),
  )
  assert.equal(mended.info.stages.length, 2)
  assert.equal((await read(mended.generate(once))).text, text)
})

// --- a real chat model ----------------------------------------------------------------------------------------------

test('a long prompt is cancelled in its middle, and characters arrive whole', { skip: smol.skip }, async (t) => {
  await using chat = await Engine.load(smol.path, { cacheDir, threads, cut: 'none', contextLength: 512, parallel: 2 })
  const emoji: GenerateRequest = {
    // Under 64 rows with the template: from there on llama.cpp computes attention in another way, and a reply that is made
    // again with some rows kept might differ where two tokens are near.
    messages: [{ role: 'user', content: 'Repeat exactly: 🌍🎉 日本語 ñandú 😀😀' }],
    maxTokens: 40,
    policy: 'provisional',
    minStability: 0,
  }
  const { text, events } = await read(chat.generate(emoji))
  for (const event of events) {
    if (event.type !== 'delta' && event.type !== 'provisional') continue
    assert.ok(event.text.isWellFormed())
    // Only the end of a reply that was cut off may be an incomplete character.
    if (event !== events.at(-2)) assert.ok(!event.text.includes('\ufffd'), event.text)
  }
  t.diagnostic(`the model said ${JSON.stringify(text)}`)

  const long: GenerateRequest = {
    prompt: 'The old man sat by the river and watched the boats. '.repeat(25),
    maxTokens: 4,
    cachePrompt: false,
  }
  const begin = performance.now()
  await read(chat.generate(long))
  const whole = performance.now() - begin
  const generation = chat.generate(long)
  const answer = read(generation)
  await sleep(whole / 10)
  const asked = performance.now()
  generation.cancel()
  const { done } = await answer
  await chat.idle()
  const stopped = performance.now() - asked
  t.diagnostic(`free ${stopped.toFixed(0)} ms after the cancel; the whole request takes ${whole.toFixed(0)} ms`)
  assert.equal(done.finishReason, 'cancelled')
  assert.equal(done.usage.completionTokens, 0)
  assert.ok(stopped < whole / 2, `${stopped} of ${whole} ms`)
  await assertClean(chat, emoji, text)
})

test('what an earlier run measured is known from the start', { skip }, async (t) => {
  const own = await mkdtemp(join(tmpdir(), 'incipit-engine-'))
  t.after(() => rm(own, { recursive: true, force: true }))
  const load = () => Engine.load(stories.path, { cacheDir: own, threads, cut: 'none', parallel: 2 })
  {
    await using first = await load()
    await read(first.generate({ prompt: 'Once', maxTokens: 2 }))
  }
  const [name] = (await readdir(own, { recursive: true })).filter((file) => file.endsWith('profile.json'))
  const path = join(own, name!)
  const saved = JSON.parse(await readFile(path, 'utf8'))
  // A size that no start-up measures.
  saved.costs[0].push({ rows: 300, ms: 12_345 })
  await writeFile(path, JSON.stringify(saved))
  await using second = await load()
  const known = second.costProfile()[0]!.find(({ rows }) => rows === 300)
  assert.equal(known?.ms, 12_345)
})
