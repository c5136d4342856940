import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { noiseAllowed } from '../../../test/fixtures/batch-noise.ts'
import { model, temporaryDirectory, tinyModel } from '../../../test/fixtures/gguf.ts'
import { type MtpFixture, withPredictionLayer } from '../../../test/fixtures/mtp-model.ts'
import { PlainChoices } from '../../../test/fixtures/plain-choices.ts'
import { plainDraft } from '../../../test/fixtures/plain-draft.ts'
import { draftRequest, type Guesser, greedy, sampled, Verifier } from '../../../test/fixtures/proposers.ts'
import type { Sampling } from '../../api/request.ts'
import type { ModelDraft } from '../../core/executor.ts'
import { probabilityOf, topProbability } from '../../core/sampling/sample.ts'
import { type Gguf, readGguf } from '../../gguf/index.ts'
import { Batch } from '../../llama/batch.ts'
import { Context } from '../../llama/context.ts'
import { Model } from '../../llama/model.ts'
import { Threadpool } from '../../llama/threadpool.ts'
import type { DraftRunner } from '../draft-runner.ts'
import { mtpDrafter, whyNoMtp } from './mtp.ts'

const { path, skip } = model('stories260K.gguf')
const architectures = ['glm4moe', 'hy_v3'] as const
let gguf: Gguf
let threadpool: Threadpool

before(async () => {
  if (skip) return
  gguf = await readGguf(path)
  threadpool = new Threadpool(1)
})
after(() => {
  if (!skip) threadpool[Symbol.dispose]()
})

async function load(t: TestContext, fixture: MtpFixture): Promise<Model> {
  const file = join(await temporaryDirectory(t), 'mtp.gguf')
  await withPredictionLayer(gguf, file, fixture)
  assert.equal(whyNoMtp(await readGguf(file)), undefined)
  const loaded = await Model.load(file, { mtp: true })
  t.after(() => loaded[Symbol.dispose]())
  return loaded
}

function drafterOf(of: Model): DraftRunner {
  return mtpDrafter(of, { cells: 1024, sequences: 4, batch: 64, threadpool })
}

function guesser(
  drafter: DraftRunner,
  sampling: Sampling,
  count: number,
  seen?: (draft: ModelDraft, text: readonly number[]) => void,
): Guesser {
  let last: ModelDraft[] = []
  return {
    feed: (sequence, from, to) => drafter.feed(sequence, from, to),
    propose: async (texts) => {
      // Before anything was verified there is no state to start from.
      const requests = texts.map((tokens, slot) => draftRequest(slot, tokens, count, sampling))
      last = (await drafter.propose(requests, 0)).drafts
      for (const [i, draft] of last.entries()) seen?.(draft, texts[i]!)
      return last.map(({ tokens }) => tokens)
    },
    observe: (sequence, right) => drafter.observe(last[sequence]!, right),
  }
}

const prompts = (of: Model): number[][] =>
  ['Once upon a time', 'Lily had a red ball. She', 'The dog was'].map((text) =>
    of.vocab.tokenize(text, { addBos: true }),
  )

/** What plain decoding of the model says of texts like these. */
async function plainOf(of: Model, replies: readonly (readonly number[])[]): Promise<PlainChoices> {
  return PlainChoices.of(
    of,
    prompts(of).map((prompt, i) => [...prompt, ...replies[i]!]),
  )
}

test('the layers below speak as the model they were made of', { skip }, async (t) => {
  using stories = await Model.load(path)
  const made = await load(t, { architecture: 'glm4moe', sees: 'token' })
  assert.equal(made.layers, 5)
  using verifier = new Verifier(made, threadpool, greedy, { mtpStates: true })
  const replies = await verifier.replies(prompts(stories), 40)
  using plain = await plainOf(stories, replies)
  await plain.assertReplies(prompts(stories), replies, greedy)
})

for (const architecture of architectures) {
  for (const sampling of [greedy, sampled]) {
    const how = `${architecture}, ${sampling.temperature > 0 ? 'sampled' : 'greedy'}`
    test(`${how}: a layer that sees the token is right where the token decides`, { skip }, async (t) => {
      const made = await load(t, { architecture, sees: 'token', idle: true })
      using verifier = new Verifier(made, threadpool, sampling, { mtpStates: true })
      using drafter = drafterOf(made)
      const replies = await verifier.replies(prompts(made), 50, guesser(drafter, sampling, 4))
      using plain = await plainOf(made, replies)
      await plain.assertReplies(prompts(made), replies, sampling)
      for (const { text, token } of verifier.wrong) await plain.assertChosen(text, [token], sampling, 'drafted')
      assert.ok(verifier.offered > 100 && verifier.acceptance > 0.9, `${verifier.right} of ${verifier.offered}`)
    })
  }

  test(`${architecture}: a layer that sees the state gets the one before each token, and its own after that`, {
    skip,
  }, async (t) => {
    const made = await load(t, { architecture, sees: 'state' })
    using verifier = new Verifier(made, threadpool, greedy, { mtpStates: true })
    using drafter = drafterOf(made)
    let drafts = 0
    const lengths = prompts(made).map((prompt) => prompt.length)
    const seen = ({ tokens }: ModelDraft, text: readonly number[]) => {
      if (lengths.includes(text.length)) return
      // What the model said after the state before the last token is the last token.
      assert.deepEqual(tokens, new Array(3).fill(text.at(-1)))
      drafts++
    }
    const replies = await verifier.replies(prompts(made), 40, guesser(drafter, greedy, 3, seen))
    using plain = await plainOf(made, replies)
    await plain.assertReplies(prompts(made), replies, greedy)
    assert.ok(drafts > 50, `${drafts} drafts`)
  })
}

/** A verifying context that computes texts and feeds their states. */
class Source implements Disposable {
  readonly #context: Context
  readonly #text: number[] = []

  constructor(of: Model) {
    this.#context = new Context(of, { cells: 512, sequences: 1, batch: 512, outputs: 1, threadpool, mtpStates: true })
  }

  /** Computes the text in parts of this many rows, from where it differs from the former one. */
  async run(drafter: DraftRunner, slot: number, text: readonly number[], part = 512): Promise<void> {
    let from = 0
    while (from < this.#text.length && this.#text[from] === text[from]) from++
    this.#context.sequenceRemove(0, from)
    this.#text.splice(from, Number.POSITIVE_INFINITY, ...text.slice(from))
    for (; from < text.length; from += part) {
      const rows = text.slice(from, from + part)
      using batch = new Batch(rows.length)
      for (const [i, token] of rows.entries()) batch.add(token, from + i, [0], false)
      assert.equal(await this.#context.decode(batch), 'done')
      this.#context.mtpStates(0, rows.length, drafter.feed(slot, from, from + rows.length))
    }
  }

  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]()
  }
}

async function guess(drafter: DraftRunner, tokens: readonly number[], slot = 0, count = 5): Promise<ModelDraft> {
  return (await drafter.propose([draftRequest(slot, tokens, count, greedy)], 0)).drafts[0]!
}

const text = Array.from({ length: 120 }, (_, i) => 260 + ((i * 11) % 190))

/**
 * The draft is what the prediction layer says when it is run plainly, with all texts' rows new. Its probabilities are
 * compared with the nearest of several plain ways, which differ in the shape of their batches and by nothing else; how far
 * these are from each other is the noise.
 */
async function assertAsPlain(
  of: Model,
  tokens: readonly number[],
  draft: ModelDraft,
  why = '',
  states = true,
): Promise<void> {
  assert.equal(draft.tokens.length, 5, why)
  const ways: number[][] = []
  let behind = 0
  for (const part of [tokens.length, 30, 1]) {
    const logits = await plainDraft(of, tokens, draft.tokens, { threadpool, part, states })
    ways.push(logits.map((row, i) => probabilityOf(row, draft.tokens[i]!)))
    behind = Math.max(behind, ...logits.map((row, i) => topProbability(row).probability - ways.at(-1)![i]!))
  }
  const distance = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((p, i) => Math.abs(p - b[i]!)))
  const noise = Math.max(...ways.flatMap((one) => ways.map((other) => distance(one, other))))
  const off = Math.min(...ways.map((way) => distance(way, draft.raw)))
  assert.ok(off <= noiseAllowed * noise, `${why}: probabilities are off by ${off}, the noise is ${noise}`)
  assert.ok(
    behind <= noiseAllowed * noise,
    `${why}: another token is more probable by ${behind}, the noise is ${noise}`,
  )
}

test('a draft depends on states and tokens of the whole text, not on how they came', { skip }, async (t) => {
  const made = await load(t, { architecture: 'glm4moe', sees: 'both' })
  using drafter = drafterOf(made)
  using source = new Source(made)
  // In parts, with the layer following behind or not.
  for (const [part, follows] of [
    [200, false],
    [30, true],
    [30, false],
  ] as const) {
    const slot = part === 30 && follows ? 1 : 2
    drafter.release(slot)
    using own = new Source(made)
    for (let end = part; end < text.length - 1; end += part) {
      await own.run(drafter, slot, text.slice(0, end))
      if (follows) assert.deepEqual((await guess(drafter, text.slice(0, end), slot, 0)).tokens, [])
    }
    await own.run(drafter, slot, text.slice(0, -1))
    await assertAsPlain(made, text, await guess(drafter, text, slot))
    await assertAsPlain(made, text, await guess(drafter, text, slot), 'again')
  }
  // Rolled back and gone on with other tokens; the states behind the drafts are replaced by those of what was verified.
  let tokens = text.slice(0, 60)
  for (let step = 0; step < 6; step++) {
    await source.run(drafter, 0, tokens.slice(0, -1))
    const draft = await guess(drafter, tokens)
    await assertAsPlain(made, tokens, draft, `step ${step}`)
    // All verified, the first two right.
    await source.run(drafter, 0, [...tokens, ...draft.tokens])
    tokens = [...tokens, ...draft.tokens.slice(0, 2), 300 + step]
  }
  await assertAsPlain(made, tokens, await guess(drafter, tokens, 3), 'without any state', false)
  using late = new Source(made)
  await late.run(drafter, 3, tokens.slice(0, -1))
  await assertAsPlain(made, tokens, await guess(drafter, tokens, 3), 'states that came late')
})

test('a slot that shares another one’s rows goes on from its states', { skip }, async (t) => {
  const made = await load(t, { architecture: 'glm4moe', sees: 'both' })
  using drafter = drafterOf(made)
  using source = new Source(made)
  await source.run(drafter, 0, text.slice(0, 50))
  await guess(drafter, text.slice(0, 50), 0, 0)
  drafter.share(0, 1)
  drafter.release(0)
  // Few rows of its own, so that a wrong state among the shared ones weighs.
  for (const longer of [text.slice(0, 51), text.slice(0, 53)]) {
    await source.run(drafter, 1, longer.slice(0, -1))
    await assertAsPlain(made, longer, await guess(drafter, longer, 1), `${longer.length} rows`)
  }
})

test('batches of one kind are refused in contexts of the other', { skip }, async (t) => {
  const made = await load(t, { architecture: 'glm4moe', sees: 'token' })
  const options = { cells: 64, sequences: 1, batch: 8, threadpool }
  using plain = new Context(made, options)
  using mtp = new Context(made, { ...options, mtp: true })
  using tokens = new Batch(2)
  using both = new Batch(2, { stateWidth: 64, mtp: true })
  tokens.add(300, 0, [0], true)
  both.add(300, 0, [0], true, new Float32Array(64))
  const refused = { code: 'batch_invalid' }
  assert.throws(() => both.add(300, 1, [0], true), refused)
  assert.throws(() => both.add(new Float32Array(64), 1, [0], true), refused)
  assert.throws(() => tokens.add(300, 1, [0], true, new Float32Array(64)), refused)
  await assert.rejects(plain.decode(both), refused)
  await assert.rejects(mtp.decode(tokens), refused)
  assert.equal(await mtp.decode(both), 'done')
  assert.equal(await plain.decode(tokens), 'done')
  assert.throws(() => plain.mtpStates(0, 1, new Float32Array(64)), refused)
  assert.throws(() => mtp.mtpStates(1, 1, new Float32Array(64)), refused)
  using without = await Model.load(path)
  assert.throws(() => new Context(without, { ...options, mtp: true }), { code: 'context_memory', message: /MTP/ })
})

test('a file says why its prediction layer cannot draft', async (t) => {
  const directory = await temporaryDirectory(t)
  const number = (value: number) => ({ type: 'u32', value }) as const
  const why = async (name: string, architecture: string, metadata: Record<string, ReturnType<typeof number>>) =>
    whyNoMtp(await tinyModel(join(directory, name), { architecture, metadata }))
  assert.match((await why('a', 'llama', {}))!, /no prediction layer/)
  assert.match(
    (await why('b', 'qwen3next', { 'qwen3next.nextn_predict_layers': number(1) }))!,
    /'qwen3next' is not supported/,
  )
  assert.match((await why('c', 'hy_v3', { 'hy_v3.nextn_predict_layers': number(2) }))!, /2 prediction layers/)
  assert.match((await why('d', 'hy_v3', { 'hy_v3.nextn_predict_layers': number(1) }))!, /lacks the tensors/)
})
