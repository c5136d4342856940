import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { RevisableText } from '../../client/src/revisable-text.ts'
import type { DoneEvent, EngineApi, GenerateEvent, GenerateRequest } from '../src/api/index.ts'
import { Engine } from '../src/engine.ts'
import { writeChatStories } from './fixtures/chat-stories.ts'
import { model } from './fixtures/gguf.ts'
import { spawned, until } from './fixtures/spawned.ts'
import { full } from './fixtures/test-size.ts'
import { type Question, Reference } from './reference.ts'

/*
 * An engine in a process of its own does what one in this process does, also when that process dies. The weights are real:
 * that a reply goes on with the same tokens is a promise about numbers, too.
 */

const { path, skip } = model('stories260K.gguf')
let directory: string
/** The same weights with a chat template. */
let chat: string
const timeout = 120_000

before(async () => {
  if (skip) return
  directory = await mkdtemp(join(tmpdir(), 'incipit-spawned-chat-'))
  chat = join(directory, 'chat.gguf')
  await writeChatStories(chat)
})
after(async () => {
  if (!skip) await rm(directory, { recursive: true, force: true })
})

interface Whole {
  text: string
  events: GenerateEvent[]
  done: DoneEvent
}

/** Reads a reply as a client does: provisional text must agree with what is committed. */
async function read(
  events: AsyncIterable<GenerateEvent>,
  each: (event: GenerateEvent) => void = () => {},
): Promise<Whole> {
  const text = new RevisableText()
  const all: GenerateEvent[] = []
  let rev = 0
  for await (const event of events) {
    all.push(event)
    if (event.type === 'delta') text.commit(event.text)
    if (event.type === 'provisional') {
      assert(event.rev > rev, 'revisions rise, over deaths too')
      rev = event.rev
      assert.equal(event.base, text.committed.length)
      text.revise(event)
    }
    each(event)
    if (event.type !== 'done') continue
    assert.equal(text.provisional, '')
    return { text: text.committed, events: all, done: event }
  }
  return assert.fail('the reply ended without `done`')
}

/** Kills when so many events have come. */
function killAfter(count: number, kill: () => void) {
  let seen = 0
  return () => {
    if (++seen === count) kill()
  }
}

const sampled: GenerateRequest = { prompt: 'Once upon a time', maxTokens: 150, temperature: 1, seed: 5, proposers: [] }

test('the parent needs no native library', () => {
  const script = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier === 'koffi') throw new Error('koffi was loaded')
        return next(specifier, context)
      },
    })
    const { SpawnedEngine } = await import('@incipit/engine/spawn')
    process.stdout.write(typeof SpawnedEngine.start)`
  const args = ['--input-type=module', '--eval', script]
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: import.meta.dirname, encoding: 'utf8' })
  assert.deepEqual([stdout, stderr], ['function', ''])
})

test('it does what an engine in this process does', { skip, timeout }, async (t) => {
  const { engine } = await spawned(t, path)
  await using own = await Engine.load(path, { threads: 1, cut: 'none', cacheDir: '/nonexistent' })
  const { pid: _pid, ...info } = { ...engine.info, pid: 0 }
  assert.deepEqual(info, own.info)
  const ask = async (api: EngineApi) => {
    const { text, done } = await read(api.generate({ ...sampled, logprobs: 2 }))
    const tokens = await api.tokenize('Once upon a time')
    return [text, done.finishReason, done.usage, tokens, await api.detokenize(tokens), await api.audit()]
  }
  assert.deepEqual(await ask(engine), await ask(own))
  const prefill = { prompt: 'The old man and the sea were both very tired' }
  assert.equal((await engine.prefill(prefill)).promptTokens, (await own.prefill(prefill)).promptTokens)
  assert((await engine.prefill(prefill)).cachedTokens > 0)
  await engine.idle()
  assert.equal((await engine.stats()).running, 0)
})

test('what is refused is refused by the same name', { skip, timeout }, async (t) => {
  const { engine } = await spawned(t, path, { contextLength: 64 })
  assert.throws(() => engine.generate({ prompt: 'x', temperature: -1 }), {
    code: 'invalid_request',
    param: 'temperature',
  })
  const tooLong = engine.generate({ prompt: 'word '.repeat(200) })
  await assert.rejects(tooLong.accepted, { code: 'context_overflow' })
  await assert.rejects(read(tooLong), { code: 'context_overflow' })
  await assert.rejects(engine.generate({ messages: [{ role: 'user', content: 'x' }] }).accepted, {
    code: 'chat_template',
  })
  assert.throws(() => engine.open(), { code: 'chat_template' })
  await assert.rejects(engine.prefill({ prompt: [] }), { code: 'invalid_request' })
  const constraints = (() => {}) as unknown as string
  await assert.rejects(spawned(t, path, { constraints }), { code: 'invalid_request', param: 'constraints' })
  await assert.rejects(spawned(t, import.meta.filename), { code: 'model_invalid' })
  await assert.rejects(spawned(t, '/nonexistent.gguf'), { code: 'model_not_found' })
})

test('a reply goes on behind its committed text when the process is killed', { skip, timeout }, async (t) => {
  const { engine, kill, logged } = await spawned(t, path)
  const undisturbed = await read(engine.generate(sampled))
  const killed = await read(engine.generate(sampled), killAfter(30, kill))
  assert.equal(killed.text, undisturbed.text)
  assert.deepEqual(
    [killed.done.usage.completionTokens, killed.done.usage.promptTokens, killed.done.finishReason],
    [150, undisturbed.done.usage.promptTokens, 'length'],
  )
  const tokens = killed.events.reduce((sum, event) => sum + (event.type === 'delta' ? event.tokens : 0), 0)
  assert.equal(tokens, 150)
  const { committedMs, predictedMs } = killed.done.timings
  assert(committedMs! < predictedMs, 'the first word was there before the death, which took long')
  assert.match(
    logged.join('\n'),
    /error the engine was ended by SIGKILL; starting it again\n(info .*\n)*warn the engine is there again/,
  )
  assert.deepEqual(await engine.audit(), [])
})

test('penalties, stop strings, bias and likelihoods see the whole reply', { skip, timeout }, async (t) => {
  const { engine, kill } = await spawned(t, path)
  const requests: GenerateRequest[] = [
    { ...sampled, frequencyPenalty: 0.7, presencePenalty: 0.4, repetitionPenalty: 1.2 },
    { ...sampled, temperature: 0, stop: ['they', 'She'], minTokens: 20 },
    { ...sampled, logprobs: 1, logitBias: { 300: 3 } },
  ]
  for (const request of requests) {
    const undisturbed = await read(engine.generate(request))
    const half = Math.max(1, Math.floor(undisturbed.events.length / 2))
    // Waits for the next death to be far enough from the last ones.
    const killed = await read(engine.generate(request), killAfter(half, kill))
    assert.equal(killed.text, undisturbed.text)
    assert.deepEqual(killed.done.stopString, undisturbed.done.stopString)
    assert.equal(killed.done.usage.completionTokens, undisturbed.done.usage.completionTokens)
  }
})

test('provisional text that was shown is withdrawn, with the reason', { skip, timeout }, async (t) => {
  const { engine, kill } = await spawned(t, path)
  const request: GenerateRequest = {
    prompt: 'Once upon a time',
    maxTokens: 120,
    policy: 'provisional',
    minStability: 0,
  }
  const { text } = await read(engine.generate({ ...request, policy: 'committed' }))
  const prediction = text
  let shown = false
  let withdrawn = 0
  const killed = await read(engine.generate({ ...request, prediction }), (event) => {
    if (event.type !== 'provisional') return
    if (event.reason === 'restart') withdrawn++
    else if (event.text !== '' && !shown) {
      shown = true
      kill()
    }
  })
  assert(shown)
  assert(withdrawn <= 1)
  assert.equal(killed.text, text)
})

test('many replies under random kills are those of plain decoding', { skip, timeout: 300_000 }, async (t) => {
  const streams = 8
  const forMs = full ? 120_000 : 3000
  const everyMs = full ? 5000 : 1000
  const { engine, kill, logged } = await spawned(t, path, { contextLength: 256, parallel: streams })
  using reference = await Reference.load(path, { cells: 256, threads: 1 })
  const prompts = [
    'Once upon a time',
    'The dog',
    'Lily was',
    'One day a boy',
    'In the park',
    'A big red',
    'Tom and',
    'Mom',
  ]
  const maxTokens = 100
  const asked = prompts.map((prompt) => reference.tokens({ prompt }))
  const epsilon = await reference.tieWidth(asked, maxTokens)
  const end = performance.now() + forMs
  const answers: { question: Question; whole: Whole }[] = []
  const stream = async (index: number) => {
    for (let seed = index; performance.now() < end; seed += streams) {
      const sampling = { temperature: seed % 2, topP: 1, topK: 0, minP: 0, seed }
      const request = { prompt: prompts[index]!, maxTokens, ...sampling }
      const whole = await read(engine.generate(request))
      answers.push({ question: { prompt: asked[index]!, sampling, maxTokens }, whole })
      // A reader takes its time: replies are in flight at every moment.
      await wait(5)
    }
  }
  let kills = 0
  const killing = (async () => {
    while (performance.now() < end) {
      await wait(everyMs * (0.5 + Math.random()))
      if (engine.pid === undefined) continue
      kill()
      kills++
    }
  })()
  await Promise.all([...prompts.map((_, index) => stream(index)), killing])
  let ties = 0
  // A fast machine gives more of them than can be computed again in the time that there is.
  const most = full ? 1500 : 30
  const sample = answers.filter((_, i) => i % Math.ceil(answers.length / most) === 0)
  for (const { question, whole } of sample) {
    const { text, done } = whole
    const answer = { text, tokens: done.usage.completionTokens, finishReason: done.finishReason }
    ties += (await reference.ties(question, answer, epsilon)).length
  }
  t.diagnostic(`${kills} kills, ${answers.length} replies complete, ${sample.length} compared, ${ties} near ties`)
  assert(kills >= 2)
  assert(answers.length >= streams)
  assert.equal(logged.filter((line) => /the third time|has ended/.test(line)).length, 0)
  assert.deepEqual(await engine.audit(), [])
})

test('a chat model says the same through a death, in a namespace', { skip, timeout }, async (t) => {
  const { engine, kill } = await spawned(t, chat, { contextLength: 512, parallel: 2 })
  const messages = [{ role: 'user', content: 'Name three colours.' }]
  const maxTokens = 12
  const request: GenerateRequest = { messages, maxTokens, proposers: [], cacheSalt: 'a' }
  const undisturbed = await read(engine.generate(request))
  const killed = await read(engine.generate(request), killAfter(4, kill))
  using reference = await Reference.load(chat, { cells: 512, threads: 1 })
  const question: Question = {
    prompt: reference.tokens({ messages }),
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 },
    maxTokens,
  }
  const epsilon = await reference.tieWidth([question.prompt], maxTokens)
  for (const { text, done } of [undisturbed, killed]) {
    const answer = { text, tokens: done.usage.completionTokens, finishReason: done.finishReason }
    await reference.ties(question, answer, epsilon)
  }
})

for (const [fault, why] of [
  ['hang', /the engine hung: a step took \d+\.\d s, and may take 1\.0 s/],
  ['block', /the engine did not answer for \d/],
  ['defect', /the engine stopped at a defect/],
] as const) {
  test(`a reply goes on after a fault: ${fault}`, { skip, timeout }, async (t) => {
    const { engine, disturb, logged } = await spawned(t, path, { fault, hangMs: 1000 })
    const undisturbed = await read(engine.generate(sampled))
    const disturbed = await read(engine.generate(sampled), killAfter(20, disturb))
    assert.equal(disturbed.text, undisturbed.text)
    assert.match(logged.join('\n'), why)
  })
}

test('what is in flight at three deaths ends with one error; others go on, and later ones are served', {
  skip,
  timeout,
}, async (t) => {
  const { engine, logged } = await spawned(t, path, { fault: 'poison', pauseMs: 300 })
  const undisturbed = await read(engine.generate(sampled))
  const poison = read(engine.generate({ prompt: 'poison', maxTokens: 50 }))
  await assert.rejects(poison, { code: 'engine_died', status: 503, message: /SIGSEGV: the third time within a minute/ })
  assert.equal(engine.failure?.code, 'engine_died')
  assert.throws(() => engine.generate(sampled), { code: 'engine_died' })
  assert.match(logged.join('\n'), /the last steps before:\n(.*\n)*.*stage 0 seq\d+/)
  await until(() => engine.failure === undefined, 'another engine')
  assert.equal((await read(engine.generate(sampled))).text, undisturbed.text)
})

test('a cancelled request ends, with an engine and without one', { skip, timeout }, async (t) => {
  const { engine, kill } = await spawned(t, path)
  const long: GenerateRequest = { ...sampled, maxTokens: 400 }
  const controller = new AbortController()
  const { done } = await read(
    engine.generate({ ...long, signal: controller.signal }),
    killAfter(3, () => controller.abort()),
  )
  assert.equal(done.finishReason, 'cancelled')
  for await (const event of engine.generate(long)) if (event.type === 'delta') break
  await engine.idle()
  assert.equal((await engine.stats()).running, 0)
  // The engine dies with the wish: the next one does not make a reply that nobody wants.
  const wished = new AbortController()
  const orphan = read(
    engine.generate({ ...long, signal: wished.signal }),
    killAfter(3, () => {
      kill()
      wished.abort()
    }),
  )
  await assert.rejects(orphan, { code: 'cancelled' })
  // Without an engine nobody has to come back to be told that nobody waits.
  await until(() => engine.pid !== undefined, 'another process')
  const later = new AbortController()
  const alone = read(engine.generate({ ...long, signal: later.signal }))
  later.abort()
  await assert.rejects(alone, { code: 'cancelled' })
  await engine.idle()
  assert.equal((await engine.stats()).running, 0)
})

test('a slow reader holds its own reply, and nobody else', { skip, timeout }, async (t) => {
  const { engine } = await spawned(t, path, { parallel: 2 })
  const long = { ...sampled, maxTokens: 500, minTokens: 500 }
  const slow = engine.generate(long)[Symbol.asyncIterator]()
  await slow.next()
  let tokens = -1
  await until(async () => {
    const before = tokens
    tokens = (await engine.stats()).generatedTokens
    await wait(50)
    return tokens === before
  }, 'a stop')
  assert(tokens > 200 && tokens < 450, `${tokens} tokens ahead of a reader of one`)
  assert.equal((await read(engine.generate(sampled))).done.usage.completionTokens, 150)
  // Three at two places: the held one gives its place up.
  await Promise.all([read(engine.generate(sampled)), read(engine.generate({ ...sampled, seed: 6 }))])
  let rest = 0
  for (let next = await slow.next(); !next.done; next = await slow.next()) {
    if (next.value.type === 'done') assert.equal(next.value.usage.completionTokens, 500)
    rest++
  }
  assert(rest > 300)
})

test('an open input is opened again, and its conversation goes on', { skip, timeout }, async (t) => {
  const { engine, kill } = await spawned(t, chat, { contextLength: 512, parallel: 2 })
  const progress: number[] = []
  using input = engine.open({
    messages: [{ role: 'system', content: 'Be short.' }],
    onProgress: ({ rev }) => progress.push(rev),
    maxTokens: 12,
    proposers: [],
  })
  input.append('Name a ')
  await until(() => progress.includes(1), 'progress')
  kill()
  input.append('colour.')
  assert.deepEqual([input.text, input.rev], ['Name a colour.', 2])
  await until(() => progress.includes(2), 'progress in the next engine')
  input.commit()
  const { text } = await read(input.respond(), killAfter(3, kill))
  assert.deepEqual(
    input.messages.map(({ role }) => role),
    ['system', 'user', 'assistant'],
  )
  assert.equal(input.messages[2]!.content, text)
  // The child has it, too: its next reply is to the whole conversation.
  input.append('Another one.')
  input.commit()
  const next = await read(input.respond())
  const own = await read(engine.generate({ messages: input.messages.slice(0, 4), maxTokens: 12, proposers: [] }))
  assert.equal(next.done.usage.promptTokens, own.done.usage.promptTokens)
  assert.throws(() => input.replace(99, 'x'), { code: 'invalid_request', param: 'base' })
  input.close()
  assert.throws(() => input.append('x'), { code: 'closed' })
})

test('a compiler of constraints is a module, and its state goes on with the reply', { skip, timeout }, async (t) => {
  const constraints = new URL('./fixtures/letters-only.ts', import.meta.url)
  const { engine, kill } = await spawned(t, path, { constraints })
  const request: GenerateRequest = { ...sampled, maxTokens: 60, constraint: { type: 'regex', pattern: '[a-m ]*' } }
  const undisturbed = await read(engine.generate(request))
  const killed = await read(engine.generate(request), killAfter(10, kill))
  assert.match(killed.text, /^[a-m ]*$/)
  assert.equal(killed.text, undisturbed.text)
  await assert.rejects(spawned(t, path, { constraints: import.meta.url }), { param: 'constraints' })
})

test('closing ends everything by name, and the process', { skip, timeout }, async (t) => {
  const { engine } = await spawned(t, path)
  const { pid } = engine
  const reply = read(engine.generate({ ...sampled, maxTokens: 500 }))
  await Promise.all([assert.rejects(reply, { code: 'closed' }), engine.close()])
  assert.throws(() => process.kill(pid!, 0), { code: 'ESRCH' })
  assert.throws(() => engine.generate(sampled), { code: 'closed' })
})

/** A process that is alone dies with its parent. */
test('the process ends with its parent', { skip, timeout }, async (t: TestContext) => {
  const script = `
    import { SpawnedEngine } from '@incipit/engine/spawn'
    const engine = await SpawnedEngine.start(${JSON.stringify(path)}, { threads: 1, cacheDir: '/nonexistent' })
    console.log(engine.pid)
    process.kill(process.pid, 'SIGKILL')`
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = spawnSync(process.execPath, args, { cwd: import.meta.dirname, encoding: 'utf8' })
  const pid = Number(stdout)
  t.after(() => {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {}
  })
  await until(() => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  }, 'the end')
})

test('an engine says when it computes, and takes fewer threads, also after a death', { skip, timeout }, async (t) => {
  const computing: boolean[] = []
  const { engine, kill } = await spawned(t, path, { threads: 2, onComputing: (on) => computing.push(on) })
  const request: GenerateRequest = { prompt: 'Once upon a time', maxTokens: 30 }
  const plain = await read(engine.generate(request))
  assert.equal(computing[0], true)
  await until(() => computing.at(-1) === false, 'a rest')
  engine.limitThreads(1)
  const limited = await read(engine.generate(request))
  assert.equal(limited.text, plain.text)
  await until(() => computing.at(-1) === false, 'a rest')
  const { length } = computing
  const dying = read(engine.generate({ ...request, maxTokens: 200 }), killAfter(5, kill))
  await dying
  assert.deepEqual(computing.slice(length, length + 3), [true, false, true])
})
