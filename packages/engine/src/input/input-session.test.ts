import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { full } from '../../test/fixtures/test-size.ts'
import { answerOf, greedy, Reference } from '../../test/reference.ts'
import { Engine, type GenerateEvent, type ProvisionalEvent } from '../index.ts'

const models = process.env.INCIPIT_MODELS ?? join(import.meta.dirname, '../../../../../shared/models')
const path = join(models, 'stories260K.gguf')
const skip = existsSync(path) ? false : `no model at ${path}`

let engine: Engine
before(async () => {
  if (!skip) engine = await Engine.load(path, { threads: 1, cut: [2] })
})
after(() => engine?.close())

async function textOf(events: AsyncIterable<GenerateEvent>): Promise<{ text: string; cached: number; reason: string }> {
  let text = ''
  for await (const event of events) {
    if (event.type === 'delta') text += event.text
    if (event.type === 'done') return { text, cached: event.usage.cachedTokens, reason: event.finishReason }
  }
  throw new Error('no done event')
}

/** The reply of a request sent in one piece. */
const plain = async (prompt: string, maxTokens = 16) =>
  (await textOf(engine.generate({ prompt, maxTokens, proposers: [] }))).text

const edit = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      text: fc.constantFrom(' the', ' dog', 's', '. ', 'Lily ', '🙂', 'é', ' שלום', '\n'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cut' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      text: fc.constantFrom('', 'a', ' cat ran'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 12 }) }) },
)

test('any typing history gives the reply of the final text sent in one piece, but for near ties', {
  skip,
}, async () => {
  const maxTokens = 16
  using reference = await Reference.load(path, { cells: 512, threads: 1 })
  const words = 'Lily had a big red ball. She the dog 🙂 s cat ran. é She'
  const samples = Array.from({ length: 16 }, (_, i) =>
    reference.tokens({ prompt: words.slice(3 * i) + words.slice(0, 3 * i) }),
  )
  const tieWidth = await reference.tieWidth(samples, maxTokens)
  await fc.assert(
    fc.asyncProperty(
      fc.array(edit, { maxLength: 14 }),
      fc.constantFrom('off' as const, 'prefill' as const, 'reply' as const),
      async (edits, speculate) => {
        using input = engine.open({ raw: true, speculate, maxTokens })
        input.append('Lily had a big red ball.')
        for (const step of edits) {
          if (step.kind === 'append') input.append(step.text)
          else if (step.kind === 'cut') {
            // What is cut had time to be computed.
            await sleep(4)
            input.replace(Math.floor(step.share * input.text.length), step.text)
          } else if (step.kind === 'clear') input.clear()
          else await sleep(step.ms)
        }
        // Few words of its own, so that the reply hangs on what was left standing.
        input.append(' She')
        const prompt = reference.tokens({ prompt: input.text })
        input.commit()
        await reference.ties({ prompt, sampling: greedy, maxTokens }, await answerOf(input.respond()), tieWidth)
      },
    ),
    { numRuns: full ? 60 : 30 },
  )
  await engine.idle()
  assert.deepEqual(engine.audit(), [])
})

test('what was typed is computed before the commit', { skip }, async () => {
  using input = engine.open({ raw: true, maxTokens: 4 })
  input.append(
    'Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her dog',
  )
  await engine.idle()
  input.commit()
  const { cached } = await textOf(input.respond())
  assert.ok(cached >= 30, `${cached} rows were there`)
})

test('an open text in a frame: what stands before it is computed, and the reply is that of the whole prompt', {
  skip,
}, async () => {
  const frame = { before: [1, 'The end of the story was happy.', 13], after: [13, ' She'] }
  using input = engine.open({ raw: true, frame, maxTokens: 8 })
  input.append('Once upon a time, there was a little girl named Lily.')
  await engine.idle()
  const answer = await textOf(input.respond())
  assert.ok(answer.cached >= 24, `${answer.cached} rows were there`)
  const prompt = [...frame.before, input.text, ...frame.after]
  assert.equal(answer.text, (await textOf(engine.generate({ prompt, maxTokens: 8 }))).text)
})

test('a reply begun in a pause is released at the commit of the same text', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  using input = engine.open({
    raw: true,
    speculate: 'reply',
    replyBudget: 12,
    maxTokens: 20,
    onPreview: (event) => ghosts.push(event),
  })
  input.append('Once upon a time')
  const deadline = Date.now() + 10_000
  while ((ghosts.at(-1)?.tokens ?? 0) < 12 && Date.now() < deadline) await sleep(10)
  const ghost = ghosts.at(-1)!
  assert.ok(ghost.tokens >= 12, 'the reply was begun')
  input.commit()
  const events: GenerateEvent[] = []
  for await (const event of input.respond()) events.push(event)
  const text = events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
  assert.ok(text.startsWith(ghost.text))
  assert.equal(text, await plain('Once upon a time', 20))
  const done = events.at(-1)
  assert.ok(done?.type === 'done' && done.timings.committedMs === 0, 'its first text took no time after the commit')
  assert.equal(done.usage.cachedTokens, done.usage.promptTokens, 'all of its prompt was ready')
  assert.equal(done.timings.promptN, 0)
  for (let i = 1; i < ghosts.length; i++) assert.ok(ghosts[i]!.rev > ghosts[i - 1]!.rev)
})

/** An open text whose reply has been begun up to its budget of six tokens. */
async function openWithGhost() {
  const ghosts: ProvisionalEvent[] = []
  const input = engine.open({
    raw: true,
    speculate: 'reply',
    replyBudget: 6,
    maxTokens: 20,
    proposers: [],
    onPreview: (event) => ghosts.push(event),
  })
  input.append('Once upon a time')
  const until = async (met: () => boolean) => {
    for (const deadline = Date.now() + 10_000; !met() && Date.now() < deadline; ) await sleep(5)
    assert.ok(met(), JSON.stringify(ghosts.at(-1)))
  }
  await until(() => (ghosts.at(-1)?.tokens ?? 0) >= 6)
  return { input, ghosts, until }
}

test('a reply begun in a pause stops at its budget until the commit', { skip }, async () => {
  const opened = await openWithGhost()
  using input = opened.input
  await engine.idle()
  assert.equal(opened.ghosts.at(-1)?.tokens, 6)
  input.commit()
  assert.equal((await textOf(input.respond())).text, await plain('Once upon a time', 20))
})

test('how long a pause is can be said, and changed', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  const onPreview = (event: ProvisionalEvent) => ghosts.push(event)
  using input = engine.open({ raw: true, speculate: 'reply', pauseMs: 1e6, maxTokens: 4, onPreview })
  input.append('Once upon a time')
  // Whatever their rhythm, a writer who says nothing for so long pauses.
  await sleep(350)
  await engine.idle()
  assert.deepEqual(ghosts, [])
  input.configure({ pauseMs: 0 })
  for (const deadline = Date.now() + 10_000; ghosts.length === 0 && Date.now() < deadline; ) await sleep(5)
  assert.notEqual(ghosts.length, 0)
})

test('a reply that is over before the commit took no time after it', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  using input = engine.open({ raw: true, speculate: 'reply', maxTokens: 4, onPreview: (event) => ghosts.push(event) })
  input.append('Once upon a time')
  for (const deadline = Date.now() + 10_000; (ghosts.at(-1)?.tokens ?? 0) < 4 && Date.now() < deadline; ) await sleep(5)
  await engine.idle()
  input.commit()
  const [done] = (await Array.fromAsync(input.respond())).slice(-1)
  assert.ok(done?.type === 'done')
  const { promptMs, provisionalMs, committedMs, promptN } = done.timings
  assert.deepEqual(
    { promptMs, provisionalMs, committedMs, promptN },
    { promptMs: 0, provisionalMs: 0, committedMs: 0, promptN: 0 },
  )
  assert.equal(done.usage.cachedTokens, done.usage.promptTokens)
})

test('a change takes the ghost back, and the reply is that of the new text', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  using input = engine.open({ raw: true, speculate: 'reply', maxTokens: 12, onPreview: (event) => ghosts.push(event) })
  input.append('Once upon a time')
  const deadline = Date.now() + 10_000
  while (ghosts.length === 0 && Date.now() < deadline) await sleep(5)
  input.append(' there was a cat')
  assert.equal(ghosts.at(-1)?.text, '')
  assert.equal(ghosts.at(-1)?.reason, 'input_changed')
  input.commit()
  assert.equal((await textOf(input.respond())).text, await plain('Once upon a time there was a cat', 12))
})

test('typing what the ghost says keeps it, and the reply is that of the longer text', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  using input = engine.open({
    raw: true,
    speculate: 'reply',
    replyBudget: 16,
    maxTokens: 20,
    onPreview: (event) => ghosts.push(event),
  })
  input.append('Once upon a time')
  const deadline = Date.now() + 10_000
  while ((ghosts.at(-1)?.tokens ?? 0) < 16 && Date.now() < deadline) await sleep(5)
  const said = ghosts.at(-1)!.text
  const words = said.slice(0, said.indexOf(' ', 12))
  for (const letter of words) {
    input.append(letter)
    assert.equal(ghosts.at(-1)!.text, said.slice(input.text.length - 'Once upon a time'.length))
  }
  assert.ok(
    ghosts.every(({ reason }) => reason === undefined),
    'nothing was taken back',
  )
  input.commit()
  const { text } = await textOf(input.respond())
  assert.equal(text, await plain(`Once upon a time${words}`, 20))
})

test('when all of a ghost is typed and it says no more, another one comes behind it', { skip }, async () => {
  const opened = await openWithGhost()
  using input = opened.input
  const { ghosts, until } = opened
  const said = ghosts.at(-1)!.text
  input.append(said)
  await until(() => (ghosts.at(-1)?.tokens ?? 0) > 0 && ghosts.at(-1)!.text !== said)
  input.commit()
  assert.equal((await textOf(input.respond())).text, await plain(`Once upon a time${said}`, 20))
})

test('typing something else takes the ghost back', { skip }, async () => {
  const ghosts: ProvisionalEvent[] = []
  using input = engine.open({ raw: true, speculate: 'reply', maxTokens: 12, onPreview: (event) => ghosts.push(event) })
  input.append('Once upon a time')
  const deadline = Date.now() + 10_000
  while ((ghosts.at(-1)?.text.length ?? 0) < 8 && Date.now() < deadline) await sleep(5)
  input.append(ghosts.at(-1)!.text.slice(0, 3))
  input.append('zebra')
  assert.equal(ghosts.at(-1)!.text, '')
  const text = input.text
  input.commit()
  assert.equal((await textOf(input.respond())).text, await plain(text, 12))
})

test('revise keeps what agrees', { skip }, () => {
  using input = engine.open({ raw: true })
  for (const text of ['the cat', 'the cats ran', 'the 🙂', 'the 🙃 cat', '', 'new']) {
    input.revise(text)
    assert.equal(input.text, text)
  }
})

test('requests go before open inputs, and many inputs share a bounded place', { skip }, async () => {
  const inputs = Array.from({ length: 30 }, (_, i) => {
    const input = engine.open({ raw: true, maxTokens: 4 })
    input.append(`Story ${i}: ${'the dog ran to the park and '.repeat(20)}`)
    return input
  })
  const { reason } = await textOf(engine.generate({ prompt: 'Once upon a time', maxTokens: 8 }))
  assert.equal(reason, 'length')
  await engine.idle()
  assert.deepEqual(engine.audit(), [])
  assert.ok(engine.stats().cellsUsed <= engine.stats().cells)
  for (const input of inputs) input.close()
  await engine.idle()
  assert.equal(engine.stats().cellsUsed, 0)
  assert.deepEqual(engine.audit(), [])
})

test('a prompt that was warmed is not computed again, but not across namespaces', { skip }, async () => {
  const prompt = 'Tim and Sam went to the big park. They saw a tall tree and a red ball near it.'
  const warmed = await engine.prefill({ prompt, cacheSalt: 'a' })
  assert.equal(warmed.cachedTokens, 0)
  const request = { prompt: `${prompt} They were happy`, maxTokens: 4 }
  assert.equal((await textOf(engine.generate({ ...request, cacheSalt: 'b' }))).cached, 0)
  assert.ok((await textOf(engine.generate({ ...request, cacheSalt: 'a' }))).cached >= warmed.promptTokens - 2)
})

test('a signal that was aborted before cancels every kind of request', { skip }, async () => {
  const signal = AbortSignal.abort()
  assert.equal((await textOf(engine.generate({ prompt: 'Once', maxTokens: 4, signal }))).reason, 'cancelled')
  using input = engine.open({ raw: true, maxTokens: 4 })
  input.append('Once upon a time')
  input.commit()
  assert.equal((await textOf(input.respond({ signal }))).reason, 'cancelled')
})

test('misuse is named', { skip }, () => {
  const input = engine.open({ raw: true })
  assert.throws(() => input.commit(), { code: 'invalid_request' })
  assert.throws(() => input.replace(1, 'x'), { code: 'invalid_request', param: 'base' })
  assert.throws(() => input.replace(Number.NaN, 'x'), { code: 'invalid_request' })
  input.close()
  input.close()
  assert.throws(() => input.append('x'), { code: 'closed' })
  assert.throws(() => engine.open({}), { code: 'chat_template' })
})
