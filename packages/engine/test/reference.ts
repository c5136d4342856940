import assert from 'node:assert/strict'
import { choose } from '../src/core/sampling/sample.ts'
import { maskLogits } from '../src/core/sampling/token-mask.ts'
import type { FinishReason, GenerateEvent, GenerateRequest, Sampling } from '../src/index.ts'
import { Model } from '../src/llama/model.ts'
import { templateOf } from '../src/runtime/load/template-of.ts'
import { Detokenizer } from '../src/text/detokenize.ts'
import { promptTokens } from '../src/text/prompt.ts'
import { Plain } from '../src/tune/plain.ts'
import { marginNoise, noiseAllowed } from './fixtures/batch-noise.ts'
import type { Rules } from './fixtures/constraints.ts'
import { shortfall } from './fixtures/near-tie.ts'

export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }

/** What is decoded: the same for the reference and for the engine under test. */
export interface Question {
  readonly prompt: readonly number[]
  readonly sampling: Sampling
  /** Most tokens of the reply. */
  readonly maxTokens: number
  /** What the reply must look like. */
  readonly rules?: Rules
}

/** What a reader of a reply sees of it. */
export interface Answer {
  readonly text: string
  /** Number of tokens, with the one that ends a reply. */
  readonly tokens: number
  readonly finishReason: FinishReason
}

/** A token of a reply that plain decoding would not have chosen after the same text. */
export interface Tie {
  /** Index in the reply. */
  readonly at: number
  /** How near it was, see `shortfall`. */
  readonly gap: number
}

/** Reads a reply to its end. */
export async function answerOf(
  events: AsyncIterable<GenerateEvent>,
  each: (event: GenerateEvent) => void = () => {},
): Promise<Answer> {
  let text = ''
  for await (const event of events) {
    each(event)
    if (event.type === 'delta') text += event.text
    if (event.type === 'done') {
      return { text, tokens: event.usage.completionTokens, finishReason: event.finishReason }
    }
  }
  return assert.fail('the reply ended without `done`')
}

/**
 * What the engine's committed text is compared with: plain decoding by one llama.cpp context, the prompt in one batch and
 * then one row at a time, without stages, other requests or speculation.
 *
 * Batches of other sizes run other kernels, and margins between tokens change by some noise, so a reply may have another
 * token where two are nearly equal. Such a tie is no excuse for what comes after it: the reference goes on behind it.
 */
export class Reference implements Disposable {
  readonly #model: Model
  readonly #plain: Plain
  /** Tokens in the cache, and the prompt that they begin with, which is always one batch. */
  #held: readonly number[] = []
  #prompt = ''
  /** Prompts that were run: the cache and the logits behind them, where other replies begin. */
  readonly #begun = new Map<string, { readonly state: Uint8Array; readonly logits: Float32Array }>()

  private constructor(model: Model, plain: Plain) {
    this.#model = model
    this.#plain = plain
  }

  /** @param cells longest prompt and reply, in tokens */
  static async load(path: string, options: { cells: number; threads: number }): Promise<Reference> {
    const model = await Model.load(path)
    return new Reference(model, new Plain(model, options))
  }

  /** A request's prompt as tokens. */
  tokens({ prompt, messages }: Pick<GenerateRequest, 'prompt' | 'messages'>): readonly number[] {
    const { vocab } = this.#model
    if (messages) return promptTokens(templateOf(this.#model)!, vocab, messages)
    if (typeof prompt === 'string') return vocab.tokenize(prompt, { addBos: vocab.addsBos })
    return prompt!.flatMap((piece) => (typeof piece === 'string' ? vocab.tokenize(piece) : piece))
  }

  bytesOf(token: number): string {
    return new TextDecoder().decode(this.#model.vocab.bytesOf(token))
  }

  /**
   * How near two tokens must be for the shape of a batch to decide between them, in logits: measured here and now, with this
   * model, on the first rows of some prompts and of what plain decoding says to them.
   */
  async tieWidth(prompts: readonly (readonly number[])[], maxTokens: number): Promise<number> {
    const texts: number[][] = []
    for (const prompt of prompts) {
      texts.push([...prompt, ...(await this.#reply({ prompt, sampling: greedy, maxTokens }))].slice(0, 128))
    }
    return noiseAllowed * (await marginNoise(this.#model, texts))
  }

  async decode(question: Question): Promise<Answer> {
    const tokens = await this.#reply(question)
    const stopped = this.#model.vocab.isEndOfGeneration(tokens.at(-1)!)
    const spoken = this.#spoken(stopped ? tokens.slice(0, -1) : tokens)
    return {
      text: spoken.text + spoken.rest.flush(),
      tokens: tokens.length,
      finishReason: stopped ? 'stop' : 'length',
    }
  }

  async #reply(question: Question): Promise<number[]> {
    const tokens: number[] = []
    const { vocab } = this.#model
    while (tokens.length < question.maxTokens && !(tokens.length > 0 && vocab.isEndOfGeneration(tokens.at(-1)!))) {
      tokens.push(this.#choice(question, tokens, await this.#logits(question, tokens)))
    }
    return tokens
  }

  /**
   * The tokens of an answer that are not the ones plain decoding chooses after the same text.
   * @param epsilon such a token must have been as near as this
   * @throws AssertionError when the answer cannot be explained so
   */
  async ties(question: Question, answer: Answer, epsilon: number): Promise<Tie[]> {
    if (answer.finishReason === 'length') assert.equal(answer.tokens, question.maxTokens)
    else assert.equal(answer.finishReason, 'stop')
    const best = { at: -1, chosen: 0 }
    const found = await this.#explain(question, answer, epsilon, [], best)
    if (found !== undefined) return found
    const wanted = await this.decode(question)
    const piece = this.bytesOf(best.chosen)
    return assert.fail(
      `the reply (${answer.tokens} tokens, ${answer.finishReason}) is ${JSON.stringify(answer.text)}\n` +
        `plain decoding gives (${wanted.tokens} tokens, ${wanted.finishReason}) ${JSON.stringify(wanted.text)}\n` +
        `no tie under ${epsilon} explains token ${best.at}, where plain decoding goes on with ${JSON.stringify(piece)}`,
    )
  }

  /** Depth first over the tokens that the text can consist of: another token may begin with the very text of the right one. */
  async #explain(
    question: Question,
    answer: Answer,
    epsilon: number,
    tokens: readonly number[],
    deepest: { at: number; chosen: number },
  ): Promise<Tie[] | undefined> {
    if (tokens.length === answer.tokens) return []
    const logits = (await this.#logits(question, tokens)).slice()
    const chosen = this.#choice(question, tokens, logits)
    if (tokens.length > deepest.at) Object.assign(deepest, { at: tokens.length, chosen })
    const fits = this.#fitting(answer, tokens)
    if (fits(chosen)) {
      const rest = await this.#explain(question, answer, epsilon, [...tokens, chosen], deepest)
      if (rest) return rest
    }
    for (let token = 0; token < logits.length; token++) {
      if (token === chosen || !fits(token)) continue
      const gap = shortfall(logits, question.sampling, question.prompt.length + tokens.length, token, epsilon)
      if (gap === undefined) continue
      const rest = await this.#explain(question, answer, epsilon, [...tokens, token], deepest)
      if (rest) return [{ at: tokens.length, gap }, ...rest]
    }
    return undefined
  }

  /** Logits after the prompt and these tokens. Valid until the next call. */
  async #logits({ prompt }: Question, tokens: readonly number[]): Promise<Float32Array> {
    const wanted = [...prompt, ...tokens]
    const key = prompt.join()
    const goesOn = key === this.#prompt && this.#held.every((token, i) => token === wanted[i])
    if (!goesOn || tokens.length === 0) {
      const logits = await this.#begin(prompt, key)
      this.#held = prompt
      this.#prompt = key
      if (tokens.length === 0) return logits
    }
    for (const token of wanted.slice(this.#held.length)) await this.#plain.run([token])
    this.#held = wanted
    return this.#plain.logits()
  }

  /** From now on the cache holds this prompt and nothing else. Logits behind it. */
  async #begin(prompt: readonly number[], key: string): Promise<Float32Array> {
    const { context, model } = this.#plain
    const known = this.#begun.get(key)
    this.#plain.reset()
    if (known) {
      context.setSequenceState(0, known.state)
      this.#plain.reset(prompt.length)
      return known.logits.slice()
    }
    await this.#plain.run(prompt)
    const logits = this.#plain.logits()
    // Where a row is a row: what other memories are given back is among what is tested.
    if (!model.recurrent && model.window === 0) {
      this.#begun.set(key, { state: context.sequenceState(0), logits: logits.slice() })
    }
    return logits
  }

  /** The token that these logits choose after prompt and `tokens`. Masks the logits. */
  #choice({ prompt, sampling, rules }: Question, tokens: readonly number[], logits: Float32Array): number {
    if (rules) maskLogits(logits, rules.allowed(tokens))
    return choose(logits, sampling, prompt.length + tokens.length)
  }

  /** Which tokens may stand after `tokens` in an answer, by its text and its end. */
  #fitting(answer: Answer, tokens: readonly number[]): (token: number) => boolean {
    const { vocab } = this.#model
    const { text, rest } = this.#spoken(tokens)
    const last = tokens.length === answer.tokens - 1
    const ends = last && answer.finishReason === 'stop'
    return (token) => {
      if (vocab.isEndOfGeneration(token) !== ends) return false
      if (!last) return answer.text.startsWith(text + rest.peek([token]))
      const whole = this.#spoken(ends ? tokens : [...tokens, token])
      return answer.text === whole.text + whole.rest.flush()
    }
  }

  /** Text of tokens, and what goes on after it. */
  #spoken(tokens: readonly number[]): { text: string; rest: Detokenizer } {
    const rest = new Detokenizer((token) => this.#model.vocab.bytesOf(token))
    let text = ''
    for (const token of tokens) text += rest.push(token)
    return { text, rest }
  }

  [Symbol.dispose](): void {
    this.#plain[Symbol.dispose]()
    this.#model[Symbol.dispose]()
  }
}
