import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { RuledState } from '../test/fixtures/constraints.ts'
import { model } from '../test/fixtures/gguf.ts'
import type { EngineOptions, GenerateEvent, GenerateRequest, Generation } from './api/index.ts'
import { Engine } from './engine.ts'
import { Context } from './llama/context.ts'
import { LlamaExecutor } from './runtime/llama-executor.ts'

// What goes wrong stays with those whom it concerns, and has a name.

const { path, skip } = model('stories260K.gguf')
let cacheDir: string
before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-faults-'))
})
after(() => rm(cacheDir, { recursive: true, force: true }))

const request: GenerateRequest = { prompt: 'Once upon a time', maxTokens: 20, proposers: [] }

async function load(t: TestContext, options: EngineOptions = {}): Promise<{ engine: Engine; logged: string[] }> {
  const logged: string[] = []
  const log = (level: string, line: string) => logged.push(`${level} ${line}`)
  const engine = await Engine.load(path, { cacheDir, threads: 1, cut: 'none', log, ...options })
  t.after(() => engine.close())
  return { engine, logged }
}

async function textOf(events: AsyncIterable<GenerateEvent>): Promise<string> {
  let text = ''
  for await (const event of events) if (event.type === 'delta') text += event.text
  return text
}

test('a defect in the loop ends the engine, for everybody and by name', { skip, timeout: 60_000 }, async (t) => {
  const { engine, logged } = await load(t)
  const running = [engine.generate(request), engine.generate({ ...request, prompt: 'The dog' })].map(textOf)
  t.mock.method(LlamaExecutor.prototype, 'storeHiddenStates', () => {
    throw new Error('a defect')
  })
  for (const reply of await Promise.allSettled(running)) {
    assert.equal(reply.status, 'rejected')
    assert.equal((reply as PromiseRejectedResult).reason.code, 'engine_failed')
  }
  assert.ok(logged.some((line) => /^error a defect ended the engine: a defect\n/.test(line)))
  // Not even when it would work again.
  t.mock.restoreAll()
  assert.throws(() => engine.generate(request), { code: 'engine_failed', message: /a defect/ })
  assert.throws(() => engine.open({ raw: true }), { code: 'engine_failed' })
  await engine.idle()
  await engine.close()
})

test('a constraint that throws fails its own request, in the middle of others', { skip }, async (t) => {
  const constraints = () => {
    let asked = 0
    const allowed = () => {
      if (++asked > 5) throw new Error('out of ideas')
      return undefined
    }
    return new RuledState({ allowed, forced: () => [] })
  }
  const { engine } = await load(t, { constraints })
  const alone = await textOf(engine.generate(request))
  const constraint = { type: 'regex', pattern: '.*' } as const
  const [good, bad] = [engine.generate(request), engine.generate({ ...request, constraint })].map(textOf)
  await assert.rejects(bad!, { code: 'constraint_failed', message: /out of ideas/ })
  assert.equal(await good, alone)
  await engine.idle()
  assert.deepEqual(engine.audit(), [])
  // What was computed before is still there.
  assert.ok(engine.stats().keptBytes > 0)
  assert.equal(await textOf(engine.generate(request)), alone)
})

test('without a compiler every kind of constraint is refused by name', { skip }, async (t) => {
  const { engine } = await load(t)
  for (const constraint of [
    { type: 'json_schema', schema: {} },
    { type: 'regex', pattern: 'a' },
    { type: 'grammar', grammar: 'root ::= "a"' },
    { type: 'choice', choices: ['a'] },
  ] as const) {
    assert.throws(() => engine.generate({ ...request, constraint }), {
      code: 'invalid_request',
      param: 'constraint',
      message: new RegExp(constraint.type),
    })
  }
})

test('a callback of an input session that throws ends that session, and disturbs nobody', { skip }, async (t) => {
  const { engine } = await load(t)
  const alone = await textOf(engine.generate(request))
  const thrown = new Error('from a callback')
  const fails = () => {
    throw thrown
  }
  for (const callbacks of [{ onProgress: fails }, { onPreview: fails, speculate: 'reply' as const }]) {
    const input = engine.open({ raw: true, proposers: [], maxTokens: 8, ...callbacks })
    input.append('Once upon a time there was. ')
    const other = textOf(engine.generate(request))
    // What is not a change only says whether the session is still there.
    for (let i = 0; i < 300 && !failed(() => input.revise(input.text)); i++) await sleep(10)
    assert.throws(() => input.append('x'), thrown)
    assert.equal(await other, alone)
    await engine.idle()
    assert.deepEqual(engine.audit(), [])
  }
})

function failed(act: () => void): boolean {
  try {
    act()
    return false
  } catch {
    return true
  }
}

test("an early reply that failed is nobody's: the answer is made anew", { skip }, async (t) => {
  const { engine } = await load(t)
  const prompt = 'Once upon a time there was. '
  const expected = await textOf(engine.generate({ ...request, prompt }))
  using input = engine.open({
    raw: true,
    speculate: 'reply',
    replyBudget: 4,
    cacheSalt: 'input',
    maxTokens: 20,
    proposers: [],
  })
  const decode = t.mock.method(Context.prototype, 'decode', () => Promise.reject(new Error('no decode today')))
  input.append(prompt)
  // The prefill fails, then the reply that is begun in the pause.
  for (let i = 0; i < 200 && decode.mock.callCount() < 2; i++) await sleep(10)
  assert.ok(decode.mock.callCount() >= 2)
  await engine.idle()
  t.mock.restoreAll()
  assert.equal(await textOf(input.respond()), expected)
})

test('an aborted prefill, and a prefix whose prefill was aborted, are cancelled and not done', { skip }, async (t) => {
  const { engine } = await load(t)
  const aborted = { prompt: 'The dog was big. '.repeat(10), signal: AbortSignal.abort() }
  await assert.rejects(engine.prefill(aborted), { code: 'cancelled' })
  await assert.rejects(engine.pinPrefix('dog', aborted), { code: 'cancelled' })
  assert.ok((await engine.prefill({ prompt: aborted.prompt })).promptTokens > 20)
})

test('every close resolves when the engine is closed', { skip }, async (t) => {
  const { engine } = await load(t)
  const reply: Generation = engine.generate(request)
  const ends: string[] = []
  const first = engine.close().then(() => ends.push('first'))
  const second = engine.close().then(() => ends.push('second'))
  await Promise.all([first, second])
  assert.deepEqual(ends, ['first', 'second'])
  await assert.rejects(textOf(reply), { code: 'closed' })
})

test('derived files that are cut short or older are made anew, with a word', { skip }, async (t) => {
  const own = await mkdtemp(join(cacheDir, 'own-'))
  const cut: EngineOptions = { cacheDir: own, cut: [2] }
  const expected = await textOf((await load(t, cut)).engine.generate(request))
  const names = (await readdir(own, { recursive: true })).filter((name) => name.endsWith('.json'))
  const directory = names.find((name) => name.includes('verified'))!.replace(/[^/\\]*$/, '')
  const files = [...names, ...['exit.json', 'exit-2.json', 'skim-v4.json'].map((name) => `${directory}${name}`)]
  for (const content of ['{"at": 2', '{}', '[]', '{"from":[1],"at":2}']) {
    for (const name of files) await writeFile(join(own, name), content)
    const { engine, logged } = await load(t, cut)
    assert.equal(await textOf(engine.generate(request)), expected)
    for (const name of ['verified', 'skim', 'exit']) {
      assert.ok(
        logged.some((line) => line.startsWith('warn') && line.includes(name)),
        `${content}: nothing about ${name}`,
      )
    }
    await engine.close()
  }
})

test('more requests than may wait are refused by name, and those that wait are served', { skip }, async (t) => {
  const { engine } = await load(t, { parallel: 1, maxWaiting: 2 })
  const accepted = [engine.generate(request), engine.generate(request)]
  assert.throws(() => engine.generate(request), { code: 'overloaded' })
  const texts = await Promise.all(accepted.map(textOf))
  assert.equal(texts[0], texts[1])
  assert.equal(await textOf(engine.generate(request)), texts[0])
})

test('a log that throws ends nothing', { skip }, async (t) => {
  const log = () => {
    throw new Error('no paper')
  }
  const { engine } = await load(t, { log })
  assert.notEqual(await textOf(engine.generate(request)), '')
})
