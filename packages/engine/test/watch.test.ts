import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { EngineApi, GenerateRequest, WatchedStep, WatchedToken, WatchRecord } from '../src/api/index.ts'
import { Engine } from '../src/engine.ts'
import { LoopWatch } from '../src/serving/watch.ts'
import { model } from './fixtures/gguf.ts'
import { spawned } from './fixtures/spawned.ts'

const { path, skip } = model('stories260K.gguf')
const once: GenerateRequest = { prompt: 'Once upon a time there was', maxTokens: 24 }
/** Longer than what is collected before watchers are told. */
const told = 250

let cacheDir: string
let engine: Engine

before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-watch-'))
  if (!skip) engine = await Engine.load(path, { cacheDir, threads: 1, cut: 'none' })
})
after(async () => {
  await engine?.close()
  await rm(cacheDir, { recursive: true, force: true })
})

async function text(engine: EngineApi, request: GenerateRequest): Promise<string> {
  let text = ''
  for await (const event of engine.generate(request)) if (event.type === 'delta') text += event.text
  return text
}

const only = <T extends WatchRecord['type']>(records: readonly WatchRecord[], type: T) =>
  records.filter((record): record is Extract<WatchRecord, { type: T }> => record.type === type)

test('whoever watches sees each step, each request and each token', { skip }, async () => {
  const records: WatchRecord[] = []
  const { steps, rows } = engine.stats()
  const stop = engine.watch((more) => void records.push(...more), { others: 3 })
  const reply = await text(engine, once)
  await wait(told)
  stop()
  assert.equal(only(records, 'gap').length, 0)
  const seen = only(records, 'step')
  assert.equal(seen.length, engine.stats().steps - steps)
  const rowsSeen = seen.flatMap((step) => step.rows).reduce((sum, { from, to }) => sum + to - from, 0)
  assert.equal(rowsSeen, engine.stats().rows - rows)
  assert.equal(seen[0]!.rows[0]!.kind, 'prompt')
  assert.ok(seen.every(({ at, ms }, i) => ms >= 0 && (i === 0 || at >= seen[i - 1]!.at)))
  const tokens = only(records, 'token')
  assert.equal(tokens.map(({ text }) => text).join(''), reply)
  for (const { text, probability, others } of tokens) {
    assert.equal(others!.length, 3)
    // Greedy: what was chosen is what was held for likeliest.
    assert.deepEqual([others![0]!.text, others![0]!.probability], [text, probability])
  }
  const states = only(records, 'request').map(({ state, reason }) => [state, reason])
  assert.deepEqual(states, [
    ['began', undefined],
    ['over', 'length'],
  ])
  assert.equal(new Set([...tokens, ...only(records, 'request')].map(({ request }) => request)).size, 1)
})

test('of another namespace only numbers are told', { skip }, async () => {
  const records: WatchRecord[] = []
  const stop = engine.watch((more) => void records.push(...more), { namespace: 'mine', others: 2 })
  await text(engine, { ...once, cacheSalt: 'theirs' })
  await text(engine, { ...once, cacheSalt: 'mine', maxTokens: 3 })
  await wait(told)
  stop()
  const texts = (records: readonly WatchedToken[]) => records.map(({ text, others }) => [text, others?.length])
  const tokens = only(records, 'token')
  assert.deepEqual(new Set(texts(tokens.slice(0, 24)).flat()), new Set([undefined]))
  assert.equal(texts(tokens.slice(24)).filter(([text, others]) => text !== undefined && others === 2).length, 3)
  const rows = (request: number) =>
    only(records, 'step')
      .flatMap((step: WatchedStep) => step.rows)
      .filter((rows) => rows.request === request)
  assert.ok(rows(tokens[0]!.request).every(({ text }) => text === undefined))
  assert.ok(rows(tokens.at(-1)!.request).every(({ text }) => typeof text === 'string'))
})

test('guesses, and what became of them', { skip }, async () => {
  const records: WatchRecord[] = []
  const stop = engine.watch((more) => void records.push(...more))
  const reply = await text(engine, { ...once, maxTokens: 40 })
  records.length = 0
  const { accepted, rejected } = engine.stats()
  assert.equal(await text(engine, { ...once, maxTokens: 40, prediction: `${reply} and more` }), reply)
  await wait(told)
  stop()
  const guesses = only(records, 'guess')
  assert.ok(guesses.length > 0)
  assert.ok(guesses.every(({ tokens, stabilities }) => tokens!.length === stabilities.length))
  const right = only(records, 'token').filter(({ guessed }) => guessed)
  assert.equal(right.length, engine.stats().accepted - accepted)
  assert.ok(right.every(({ source, stability }) => source !== undefined && stability! >= 0 && stability! <= 1))
  assert.ok(engine.stats().rejected >= rejected)
})

test('nobody is told more than may be told at once, and everybody how much is missing', async () => {
  const watch = new LoopWatch({
    vocabulary: { size: 0, bytesOf: () => new Uint8Array(), isEndOfGeneration: () => false },
    deviceOfStage: [0],
    now: () => 0,
    ownerOf: () => undefined,
  })
  const records: WatchRecord[] = []
  const stop = watch.watch((more) => void records.push(...more), {})
  for (let i = 0; i < 1000; i++) {
    const step = { stage: 0, rows: [] }
    watch.stepBegins(step)
    watch.stepEnded({ step, result: 'done', ms: 1, measured: true })
  }
  await wait(told)
  stop()
  const [gap] = only(records, 'gap')
  assert.equal(records.indexOf(gap!), records.length - 1)
  assert.equal(records.length - 1 + gap!.records, 1000)
  assert.ok(records.length < 1000)
})

test('whoever stops watching hears nothing more', { skip }, async () => {
  let calls = 0
  const stop = engine.watch(() => calls++)
  stop()
  stop()
  await text(engine, once)
  await wait(told)
  assert.equal(calls, 0)
})

test('an engine in a process of its own is watched the same way, and the next one after its death', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const { engine, kill } = await spawned(t, path)
  const records: WatchRecord[] = []
  const stop = engine.watch((more) => void records.push(...more))
  const reply = await text(engine, once)
  await wait(told)
  assert.equal(
    only(records, 'token')
      .map(({ text }) => text)
      .join(''),
    reply,
  )
  records.length = 0
  kill()
  assert.equal(await text(engine, once), reply)
  await wait(told)
  assert.deepEqual(records[0], { type: 'restart' })
  assert.equal(
    only(records, 'token')
      .map(({ text }) => text)
      .join(''),
    reply,
  )
  stop()
  assert.ok((await engine.costProfile())[0]!.length > 0)
})
