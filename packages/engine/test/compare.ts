import assert from 'node:assert/strict'
import type { Engine, GenerateRequest, Sampling } from '../src/index.ts'
import { Loop } from '../src/serving/loop.ts'
import type { Rules } from './fixtures/constraints.ts'
import { full } from './fixtures/test-size.ts'
import { type Answer, answerOf, greedy, type Question, type Reference } from './reference.ts'

/** What is replied to. */
export type Prompt = Pick<GenerateRequest, 'prompt' | 'messages'>

/** What of a request changes how its tokens are chosen. */
export type Choice = Partial<Sampling> & Pick<GenerateRequest, 'constraint'>

/** One way to run all prompts. */
export interface Way {
  readonly name: string
  /** Requests in flight. */
  readonly together: number
  /** Per prompt: how its tokens are chosen, ... */
  readonly choice?: (index: number) => Choice
  /** ... and everything that must make no difference. `expected` is what the reply will be. */
  readonly options?: (index: number, expected: Answer) => Partial<GenerateRequest>
  /** No tie is an excuse: exactly the batches of plain decoding run. */
  readonly exact?: boolean
}

/** What came of it. */
export interface Totals {
  readonly way: string
  replies: number
  tokens: number
  /** Replies with a token that plain decoding would not have chosen. */
  different: number
  /** Such tokens. */
  ties: number
  /** How near the furthest of them was. */
  widest: number
  drafted: number
  accepted: number
  /** Tails that were shown. */
  shown: number
  /** Prompt tokens that were computed before. */
  cached: number
}

/** Compares an engine's replies with plain decoding of the same model. */
export class Comparison {
  readonly #reference: Reference
  readonly #prompts: readonly { readonly request: Prompt; readonly tokens: readonly number[] }[]
  readonly #maxTokens: number
  readonly #rules: Rules | undefined
  readonly #expected = new Map<string, Answer>()
  readonly rows: Totals[] = []
  /** How wide a tie may be: measured when the first reply differs. */
  #tieWidth: number | undefined

  /** @param options.rules what a constraint stands for, whatever it declares */
  constructor(reference: Reference, prompts: readonly Prompt[], options: { maxTokens: number; rules?: Rules }) {
    this.#reference = reference
    this.#prompts = prompts.map((request) => ({ request, tokens: reference.tokens(request) }))
    this.#maxTokens = options.maxTokens
    this.#rules = options.rules
  }

  /**
   * Runs some of the prompts (default: all) one way.
   * @throws AssertionError for a reply that no tie explains, and for caches that do not hold what the engine believes
   */
  async run(engine: Engine, way: Way, indices: readonly number[] = [...this.#prompts.keys()]): Promise<Totals> {
    const totals: Totals = {
      way: way.name,
      replies: 0,
      tokens: 0,
      different: 0,
      ties: 0,
      widest: 0,
      drafted: 0,
      accepted: 0,
      shown: 0,
      cached: 0,
    }
    this.rows.push(totals)
    const expected = new Map<number, Answer>()
    for (const index of indices) expected.set(index, await this.#decode(index, way))
    const answers: { index: number; answer: Answer }[] = []
    const waiting = [...indices]
    // Whoever is done makes room for the next one, so that prompts and replies of all lengths meet.
    const worker = async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        answers.push({ index, answer: await this.#ask(engine, way, index, expected.get(index)!, totals) })
      }
    }
    const audits = audited(engine)
    try {
      await Promise.all(Array.from({ length: way.together }, worker))
      await engine.idle()
    } finally {
      audits.stop()
    }
    assert.deepEqual(audits.wrong, [], way.name)
    assert.deepEqual(engine.audit(), [], way.name)
    for (const { index, answer } of answers) await this.#check(index, way, answer, expected.get(index)!, totals)
    // Ties are rare: were they not, one could hide anything.
    assert.ok(
      totals.ties < Math.max(5, 0.06 * totals.tokens),
      `${way.name}: ${totals.ties} ties in ${totals.tokens} tokens`,
    )
    return totals
  }

  #question(index: number, { choice }: Way): Question {
    const { constraint, ...sampling } = choice?.(index) ?? {}
    return {
      prompt: this.#prompts[index]!.tokens,
      sampling: { ...greedy, ...sampling },
      maxTokens: this.#maxTokens,
      ...(constraint && { rules: this.#rules! }),
    }
  }

  /** Plain decoding, once per prompt and choice. What rules a reply is not remembered. */
  async #decode(index: number, way: Way): Promise<Answer> {
    const question = this.#question(index, way)
    const key = `${index} ${JSON.stringify(question.sampling)}`
    const known = question.rules ? undefined : this.#expected.get(key)
    const answer = known ?? (await this.#reference.decode(question))
    if (!question.rules) this.#expected.set(key, answer)
    return answer
  }

  async #ask(engine: Engine, way: Way, index: number, expected: Answer, totals: Totals): Promise<Answer> {
    const { request, tokens } = this.#prompts[index]!
    const options = { ...way.choice?.(index), ...way.options?.(index, expected) }
    const generation = engine.generate({ ...request, ...options, maxTokens: this.#maxTokens })
    return answerOf(generation, (event) => {
      if (event.type === 'provisional' && event.text !== '') totals.shown++
      if (event.type !== 'done') return
      assert.equal(event.usage.promptTokens, tokens.length)
      totals.drafted += event.timings.draftedN
      totals.accepted += event.timings.acceptedN
      totals.cached += event.usage.cachedTokens
    })
  }

  async #check(index: number, way: Way, answer: Answer, expected: Answer, totals: Totals): Promise<void> {
    totals.replies++
    totals.tokens += answer.tokens
    if (way.exact) {
      assert.equal(totals.drafted, 0)
      assert.deepEqual(answer, expected, `${way.name}, prompt ${index}`)
    }
    if (answer.text === expected.text && answer.tokens === expected.tokens) return
    this.#tieWidth ??= await this.#measureTies()
    const ties = await this.#reference.ties(this.#question(index, way), answer, this.#tieWidth).catch((error) => {
      throw new Error(`${way.name}, prompt ${index}: ${(error as Error).message}`)
    })
    totals.different++
    totals.ties += ties.length
    totals.widest = Math.max(totals.widest, ...ties.map(({ gap }) => gap))
  }

  /** On some of the prompts, or all where there are fewer. */
  #measureTies(): Promise<number> {
    const every = Math.ceil(this.#prompts.length / (full ? 8 : 5))
    const some = this.#prompts.filter((_, i) => i % every === 0).map(({ tokens }) => tokens)
    return this.#reference.tieWidth(some, this.#maxTokens)
  }

  /** The counts as lines of a table, from row `first` on. */
  table(first = 0): string[] {
    const lines = [
      '| way | replies | tokens | replies with a tie | ties | widest | drafts | accepted | tails shown | rows reused |',
      '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ]
    for (const row of this.rows.slice(first)) {
      const { way, replies, tokens, different, ties, widest, drafted, accepted, shown, cached } = row
      lines.push(
        `| ${[way, replies, tokens, different, ties, widest.toFixed(3), drafted, accepted, shown, cached].join(' | ')} |`,
      )
    }
    if (this.#tieWidth !== undefined) lines.push(`ties may be ${this.#tieWidth.toFixed(3)} wide here`)
    return lines
  }
}

/**
 * From now on the caches are compared with the books after every step, with requests in flight, unless another device is
 * still running.
 */
function audited(engine: Engine): { wrong: string[]; stop: () => void } {
  const { step } = Loop.prototype
  const wrong: string[] = []
  Loop.prototype.step = async function (this: Loop) {
    const more = await step.call(this)
    if (this.table.running.length === 0) wrong.push(...engine.audit())
    return more
  }
  return {
    wrong,
    stop: () => {
      Loop.prototype.step = step
    },
  }
}
