import { CostModel } from '../core/cost/cost-model.ts'
import type { DraftModel, DraftRequest, ModelDraft } from '../core/executor.ts'
import { CallerFault } from '../core/sampling/token-chooser.ts'
import { commonPrefix } from '../core/sequences/sequence-table.ts'
import { Batch } from '../llama/batch.ts'
import type { Context, DecodeResult } from '../llama/context.ts'
import { ConfidenceTable } from '../proposers/confidence.ts'
import { HiddenStates } from './hidden-states.ts'

// States that wait for a text to be followed: of longer texts nobody drafts for, the beginning is given up.
const maxWaiting = 1024

/** What the cache holds for a slot. It outlives the call. */
interface Held {
  readonly tokens: number[]
  /** With states: those of the verifying model, which the next rows start from. */
  readonly states: HiddenStates | undefined
  /** Rows from here on were computed from states that have been replaced. */
  valid: number
  /** Of a recurrent memory: where it was before the last guesses. */
  beforeGuesses: { readonly length: number; readonly state: Uint8Array } | undefined
}

function nothing(): Held {
  return { tokens: [], states: undefined, valid: Number.POSITIVE_INFINITY, beforeGuesses: undefined }
}

/** A request while it is answered. As in the engine, computed rows chase tokens: there is no prefill phase. */
interface Chain {
  readonly request: DraftRequest
  /** The text, then the guesses. */
  readonly text: number[]
  readonly held: Held
  readonly draft: { tokens: number[]; confidences: number[]; raw: number[]; sampled: boolean; fault?: CallerFault }
  /** Probability that all its guesses are right. */
  survival: number
  /** The state that its last row left. */
  state: Float32Array | undefined
  done: boolean
}

/** Rows [from, to) of a chain in one decode. */
interface ChainRows {
  readonly chain: Chain
  readonly from: number
  readonly to: number
}

/**
 * Guesses what a model will say with another model, or with the prediction layer that it carries. It follows any number of
 * sequences in a KV cache of its own. A token is chosen with the noise that the verifying model will use at that position,
 * so that a sampled reply is guessed nearly as well as a greedy one. No other decode may run on its threads meanwhile.
 */
export class DraftRunner implements DraftModel, Disposable {
  readonly name: DraftModel['name']
  readonly #context: Context
  readonly #batch: Batch
  readonly #logits: Float32Array
  /** Tokens that both models have, the first entries of a row of logits. */
  readonly #vocabulary: number
  /** Rows are tokens with a state of the verifying model each, which must be fed. */
  readonly mtp: boolean
  /** Rows cannot be dropped one by one. (A prediction layer attends, whatever the layers below do.) */
  readonly #recurrent: boolean
  /** By slot, the least recently used one first. */
  readonly #held = new Map<number, Held>()
  readonly #confidence = new ConfidenceTable()
  readonly #cost = new CostModel()
  /** Released while a decode was running: the cache must not be touched under it. */
  readonly #leaving: number[] = []
  #running = false
  #stopped = false
  #mostThreads = Number.POSITIVE_INFINITY

  /** Only for use by `loadDraftModel` and `mtpDrafter`. It owns the context. */
  constructor(context: Context, vocabulary: number, name: DraftModel['name']) {
    this.name = name
    this.#context = context
    this.#vocabulary = vocabulary
    this.mtp = name === 'mtp'
    this.#recurrent = context.model.recurrent && !this.mtp
    const stateWidth = this.mtp ? context.model.embedding : 0
    this.#batch = new Batch(context.batchSize, { mtp: this.mtp, stateWidth })
    this.#logits = new Float32Array(context.model.vocab.size)
  }

  /**
   * Guesses what follows each text, all sequences together in each decode. A chain ends early at a token that ends
   * replies, or when the probability that all of it is right falls under `minSurvival`. After `abort()`, and where the
   * cache has no room, drafts are shorter or empty.
   * @param threads compute threads, by default all of the pool
   * @returns a draft per request, in order, and the milliseconds that it took
   */
  async propose(
    requests: readonly DraftRequest[],
    minSurvival: number,
    threads?: number,
  ): Promise<{ drafts: ModelDraft[]; ms: number }> {
    if (this.#running) throw new Error('the drafter is busy')
    const start = performance.now()
    this.#running = true
    this.#stopped = false
    const chains: Chain[] = []
    try {
      this.#context.setThreads(threads ?? this.#mostThreads)
      for (const request of requests) chains.push(this.#begin(request))
      for (let rows = this.#next(chains); rows.length > 0; rows = this.#next(chains)) {
        if ((await this.#decode(rows, chains)) !== 'done' || this.#stopped) break
        this.#read(rows, minSurvival)
      }
      return { drafts: chains.map(({ draft }) => draft), ms: performance.now() - start }
    } finally {
      if (this.mtp) this.#forgetGuesses(chains)
      this.#running = false
      for (const slot of this.#leaving.splice(0)) this.release(slot)
    }
  }

  /** From the next call on. */
  limitThreads(most: number): void {
    this.#mostThreads = most
  }

  /**
   * Estimated milliseconds of `propose`, as measured so far. `behind`: for rows of the text that it has not followed yet;
   * they are computed once, and all later drafts profit. `guesses`: for the drafts themselves.
   */
  estimateMs(requests: readonly Pick<DraftRequest, 'slot' | 'tokens' | 'count'>[]): {
    behind: number
    guesses: number
  } {
    const { batchSize } = this.#context
    // Two rows are new at every call: the last guess, which was not run, and the token that the verifying model added.
    const missing = requests.map(({ slot, tokens }) => this.rowsMissing(slot, tokens))
    const all = missing.reduce((sum, rows) => sum + rows, 0)
    const first = missing.reduce((sum, rows) => sum + Math.min(2, rows), 0)
    let guesses = this.#cost.rows(0, first)
    const longest = Math.max(0, ...requests.map(({ count }) => count))
    for (let step = 1; step < longest; step++) {
      guesses += this.#cost.rows(0, requests.filter(({ count }) => count > step).length)
    }
    let behind = Math.floor(all / batchSize) * this.#cost.rows(0, batchSize)
    if (all % batchSize > 0) behind += this.#cost.rows(0, all % batchSize)
    return { behind: Math.max(0, behind - this.#cost.rows(0, first)), guesses }
  }

  /** Rows that a draft behind this text needs before its first guess: at least the last one. */
  rowsMissing(slot: number, tokens: readonly number[]): number {
    return Math.max(1, tokens.length - this.#agreed(slot, tokens))
  }

  /**
   * With `mtp`: room for the states after the last layer of rows [from, to), to be filled by the caller after each step of
   * the verifying model (`Context.mtpStates`), before the next `propose`. Of rows whose state never came, as of those
   * before the text, it is zero.
   */
  feed(slot: number, from: number, to: number): Float32Array {
    let held = this.#held.get(slot)
    let states = held?.states
    if (states === undefined || from < states.from || from > states.end) {
      states = new HiddenStates(this.#context.model.embedding)
      held = { ...(held ?? nothing()), states }
      this.#held.set(slot, held)
    }
    // A row starts from the state before it.
    held!.valid = Math.min(held!.valid, from + 1)
    states.release(from - maxWaiting)
    return states.append(from, to)
  }

  /** The first `right` tokens of a draft were confirmed; the next one, where there is one, was not. */
  observe(draft: ModelDraft, right: number): void {
    this.#confidence.observe(draft.raw, draft.sampled, right)
  }

  /** Lets slot `to` begin with what slot `from` holds. Under a running `propose` it does nothing: `to` catches up later. */
  share(from: number, to: number): void {
    const held = this.#held.get(from)
    if (held === undefined || held.tokens.length === 0 || from === to || this.#running) return
    this.release(to)
    this.#context.sequenceCopy(from, to, 0, held.tokens.length)
    const states = held.states && new HiddenStates(this.#context.model.embedding)
    if (states && held.states) {
      const room = states.append(held.states.from, held.states.end)
      for (let row = states.from; row < states.end; row++) {
        room.set(held.states.row(row), (row - states.from) * this.#context.model.embedding)
      }
    }
    const { beforeGuesses: point, valid } = held
    const beforeGuesses = point && { ...point, state: point.state.slice() }
    this.#held.set(to, { tokens: [...held.tokens], states, valid, beforeGuesses })
  }

  /** Forgets a sequence. Allowed at any time. */
  release(slot: number): void {
    if (this.#running) this.#leaving.push(slot)
    else if (this.#held.delete(slot) && !this.#context.disposed) this.#context.sequenceRemove(slot, 0)
  }

  /** Stops `propose`, also in the middle of a decode. */
  abort(): void {
    this.#stopped = true
    this.#context.abort()
  }

  /** Rows of a slot that can stay for this text. */
  #agreed(slot: number, tokens: readonly number[]): number {
    const held = this.#held.get(slot)
    return held === undefined ? 0 : Math.min(held.valid, commonPrefix(held.tokens, tokens))
  }

  /** What the cache holds for the slot stays as far as it agrees with the text. */
  #begin(request: DraftRequest): Chain {
    const { slot, tokens, count, chooser } = request
    // The last row runs again for its logits.
    const last = Math.max(0, count > 0 ? tokens.length - 1 : tokens.length)
    const base = Math.min(this.#agreed(slot, tokens), last)
    const held = this.#held.get(slot) ?? nothing()
    // Used last.
    this.#held.delete(slot)
    this.#held.set(slot, held)
    if (base < held.tokens.length) this.#drop(slot, base)
    held.valid = Number.POSITIVE_INFINITY
    const fits = tokens.length + count <= (this.#context.model.trainingContext || Number.POSITIVE_INFINITY)
    return {
      request,
      text: [...tokens],
      held,
      draft: { tokens: [], confidences: [], raw: [], sampled: chooser.sampling.temperature > 0 },
      survival: 1,
      state: undefined,
      done: !fits,
    }
  }

  /** Rows of guesses started from states of its own: they are computed again when the verifying model's are there. */
  #forgetGuesses(chains: readonly Chain[]): void {
    if (this.#context.disposed) return
    for (const { request, held } of chains) {
      const { slot, tokens } = request
      if (held.tokens.length > tokens.length) this.#drop(slot, tokens.length)
      // The last row may run again: the state before it stays.
      held.states?.release(held.tokens.length - 2)
    }
  }

  /** Rows from `from` on go; of a recurrent memory perhaps more, as it goes back to where it was before guesses. */
  #drop(slot: number, from: number): void {
    const held = this.#held.get(slot)!
    const { tokens } = held
    if (!this.#recurrent) {
      this.#context.sequenceRemove(slot, from)
      tokens.length = Math.min(tokens.length, from)
      return
    }
    const point = held.beforeGuesses
    if (point && point.length <= from) {
      this.#context.restoreCheckpoint(slot, point.state, point.length)
      tokens.length = point.length
    } else {
      this.#context.sequenceRemove(slot, 0)
      tokens.length = 0
      held.beforeGuesses = undefined
    }
  }

  /** The text is computed, and no guess: a recurrent memory can be brought back here. */
  #markBeforeGuesses({ request, held }: Chain): void {
    if (!this.#recurrent) return
    const state = this.#context.checkpoint(request.slot, held.beforeGuesses?.state)
    held.beforeGuesses = { length: held.tokens.length, state }
  }

  /** Rows that are missing, as many as fit into one decode. */
  #next(chains: readonly Chain[]): ChainRows[] {
    const rows: ChainRows[] = []
    let room = this.#context.batchSize
    for (const chain of chains) {
      const from = chain.held.tokens.length
      const to = chain.done ? from : Math.min(chain.text.length, from + room)
      if (to === from) continue
      rows.push({ chain, from, to })
      room -= to - from
    }
    return rows
  }

  async #decode(rows: readonly ChainRows[], chains: readonly Chain[]): Promise<DecodeResult> {
    this.#batch.clear()
    for (const { chain, from, to } of rows) {
      const { request, text } = chain
      const wanted = to === text.length && request.count > 0
      for (let row = from; row < to; row++) {
        const state = this.mtp ? this.#stateBefore(chain, row) : undefined
        this.#batch.add(text[row]!, row, [request.slot], wanted && row === to - 1, state)
      }
    }
    const start = performance.now()
    let result: DecodeResult | undefined
    try {
      do result = await this.#context.decode(this.#batch)
      while (result === 'full' && this.#evict(chains))
    } finally {
      // What an aborted or failed decode left of its rows.
      if (result === 'aborted' || result === undefined) this.#takeBack(rows)
    }
    if (result === 'done') {
      this.#cost.observe(0, this.#batch.rows, performance.now() - start)
      for (const { chain, from, to } of rows) chain.held.tokens.push(...chain.text.slice(from, to))
    }
    return result
  }

  #stateBefore({ request, held, state }: Chain, row: number): Float32Array {
    if (row >= request.tokens.length) return state!
    const { states } = held
    const known = states !== undefined && row - 1 >= states.from && row - 1 < states.end
    return known ? states.row(row - 1) : new Float32Array(this.#context.model.embedding)
  }

  #takeBack(rows: readonly ChainRows[]): void {
    // Disposed under the decode: the cache went with the context.
    if (this.#context.disposed) return
    for (const { chain, from } of rows) this.#drop(chain.request.slot, from)
  }

  /** Makes room: of the sequences nobody asks about now, the one that was not used for the longest time goes. */
  #evict(chains: readonly Chain[]): boolean {
    const busy = new Set(chains.map(({ request }) => request.slot))
    for (const [slot, held] of this.#held) {
      if (busy.has(slot) || held.tokens.length === 0) continue
      this.#drop(slot, 0)
      return true
    }
    return false
  }

  /** Chains whose text is computed get their next token. */
  #read(rows: readonly ChainRows[], minSurvival: number): void {
    let row = -1
    for (const { chain, from, to } of rows) {
      row += to - from
      const { request, text, draft } = chain
      if (to < text.length || request.count === 0) continue
      if (to === request.tokens.length) this.#markBeforeGuesses(chain)
      if (this.mtp) {
        chain.state = this.#context.mtpStates(row, 1, chain.state ?? new Float32Array(this.#context.model.embedding))
      }
      const guess = this.#guess(row, request, text)
      if (guess instanceof CallerFault) {
        draft.fault = guess
        chain.done = true
        continue
      }
      const { token, probability } = guess
      const confidence = this.#confidence.calibrated(probability, draft.sampled)
      draft.tokens.push(token)
      draft.confidences.push(confidence)
      draft.raw.push(probability)
      text.push(token)
      chain.survival *= confidence
      const last = draft.tokens.length >= request.count || this.#context.model.vocab.isEndOfGeneration(token)
      chain.done = last || chain.survival < minSurvival
    }
  }

  #guess(
    row: number,
    { chooser, prompt, tokens }: DraftRequest,
    text: readonly number[],
  ): { token: number; probability: number } | CallerFault {
    const logits = this.#context.logits(row, this.#logits).subarray(0, this.#vocabulary)
    const reply = { tokens: text, start: prompt, end: text.length, committed: tokens.length }
    try {
      const { token, probability = 0 } = chooser.choose(logits, reply, { probability: true })
      return { token, probability }
    } catch (error) {
      if (error instanceof CallerFault) return error
      throw error
    }
  }

  /** A decode that is running is aborted. */
  [Symbol.dispose](): void {
    this.#stopped = true
    this.#context[Symbol.dispose]()
    this.#batch[Symbol.dispose]()
  }
}
