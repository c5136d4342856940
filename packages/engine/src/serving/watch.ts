import type { FinishReason } from '../api/events.ts'
import type { ProposerName } from '../api/proposer-names.ts'
import type { Vocabulary } from '../api/vocabulary.ts'
import type { WatchedRows, WatchedStep, Watcher, WatchOptions, WatchRecord } from '../api/watch.ts'
import type { EndedStep } from '../core/executor.ts'
import type { Choice } from '../core/sampling/token-chooser.ts'
import type { Rows, Sequence, Step } from '../core/sequences/sequence.ts'
import type { ActiveRequest } from './active-request.ts'
import type { InputPrefill } from './input-prefill.ts'
import type { LoopObserver } from './loop.ts'
import type { Decision } from './step-results.ts'

/** How often watchers are told, in milliseconds: with the end of a step, and later when no step ends. */
const tellEveryMs = 50
const tellWithoutStepMs = 100
/** How many records they are told at once. */
const mostAtOnce = 400
/** Of so many rows the text is told whole; of more, so many tokens at both ends. */
const wholeText = 12
const endTokens = 4
/** Most likely tokens that may be asked for with each decision. */
const mostOthers = 8

const decoder = new TextDecoder()

/** Whose rows these are. */
type Owner = ActiveRequest | InputPrefill

interface Open {
  readonly watcher: Watcher
  readonly options: Required<WatchOptions>
  records: WatchRecord[]
  missing: number
}

/**
 * Tells watchers what the loop does. While nobody watches, every call ends at its first line; while somebody does, a step
 * costs a few small objects, and a second at most `mostAtOnce * 1000 / tellEveryMs` of them are told. They are told when
 * a step ends, because then its text goes out as well: whoever is woken on a busy machine takes a core from the next step.
 */
export class LoopWatch implements LoopObserver {
  readonly #vocabulary: Vocabulary
  readonly #deviceOfStage: readonly number[]
  readonly #now: () => number
  readonly #ownerOf: (sequence: Sequence) => Owner | undefined
  readonly #open = new Set<Open>()
  readonly #numbers = new WeakMap<object, number>()
  #lastNumber = 0
  /** Steps that run: whose rows they are has to be asked while everybody is there. */
  readonly #steps = new Map<Step, { readonly at: number; readonly owners: (Owner | undefined)[] }>()
  /** Texts of tokens that were told by themselves. */
  readonly #texts = new Map<number, string>()
  #toldAt = 0
  #timer: NodeJS.Timeout | undefined

  /** @param options `ownerOf`: asked about sequences that are there */
  constructor(options: {
    readonly vocabulary: Vocabulary
    readonly deviceOfStage: readonly number[]
    readonly now: () => number
    readonly ownerOf: (sequence: Sequence) => Owner | undefined
  }) {
    this.#vocabulary = options.vocabulary
    this.#deviceOfStage = options.deviceOfStage
    this.#now = options.now
    this.#ownerOf = options.ownerOf
  }

  /** @returns stops it */
  watch(watcher: Watcher, { namespace = '', others = 0 }: WatchOptions): () => void {
    const open: Open = {
      watcher,
      options: { namespace, others: Math.min(mostOthers, others) },
      records: [],
      missing: 0,
    }
    this.#open.add(open)
    return () => {
      this.#open.delete(open)
      if (this.#open.size > 0) return
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#steps.clear()
      this.#texts.clear()
    }
  }

  /** How many likely tokens somebody wants to know with every decision. */
  get others(): number {
    let most = 0
    for (const { options } of this.#open) most = Math.max(most, options.others)
    return most
  }

  // --- what the loop says -----------------------------------------------------------------------------------------------

  stepBegins(step: Step): void {
    if (this.#open.size === 0) return
    this.#steps.set(step, { at: this.#now(), owners: step.rows.map((rows) => this.#owner(rows.sequence)) })
  }

  stepEnded({ step, result, ms }: EndedStep): void {
    if (this.#open.size === 0) return
    const began = this.#steps.get(step)
    this.#steps.delete(step)
    if (began === undefined) return
    const { at, owners } = began
    const { stage } = step
    const head = { type: 'step', at, ms, stage, device: this.#deviceOfStage[stage]!, result } as const
    this.#add((namespace): WatchedStep => {
      const rows = step.rows.map((rows, i) => this.#rows(rows, owners[i], namespace))
      return { ...head, rows }
    })
    if (this.#now() - this.#toldAt >= tellEveryMs) this.#tell()
  }

  began(request: ActiveRequest): void {
    this.#request(request, 'began')
  }

  preempted(request: ActiveRequest): void {
    this.#request(request, 'preempted')
  }

  finished(request: ActiveRequest, reason: FinishReason | 'failed' | 'dropped'): void {
    this.#request(request, 'over', reason)
  }

  guessed(
    request: ActiveRequest,
    source: ProposerName,
    tokens: readonly number[],
    stabilities: readonly number[],
  ): void {
    if (this.#open.size === 0) return
    const head = {
      type: 'guess',
      at: this.#now(),
      request: this.#number(request),
      source,
      stabilities: [...stabilities],
    } as const
    this.#add((namespace) => ({
      ...head,
      ...(request.cacheNamespace === namespace && { tokens: tokens.map((token) => this.#tokenText(token)) }),
    }))
  }

  decided(request: ActiveRequest, { guess, right, rejected }: Decision, choice: Choice): void {
    if (this.#open.size === 0) return
    const head = {
      type: 'token',
      at: this.#now(),
      request: this.#number(request),
      ...(guess && { guessed: right, source: guess.source, stability: guess.stability }),
      ...(rejected > 0 && { rejected }),
    } as const
    const { token, probability, others = [] } = choice
    this.#add((namespace, most) => {
      if (request.cacheNamespace !== namespace) return head
      const likely = others.slice(0, most)
      return {
        ...head,
        text: this.#tokenText(token),
        ...(probability !== undefined && likely.length > 0 && { probability, others: likely.map(this.#likely) }),
      }
    })
  }

  readonly #likely = ({ token, probability }: { token: number; probability: number }) => ({
    text: this.#tokenText(token),
    probability,
  })

  // --- records ----------------------------------------------------------------------------------------------------------

  #request(
    request: ActiveRequest,
    state: 'began' | 'preempted' | 'over',
    reason?: FinishReason | 'failed' | 'dropped',
  ) {
    if (this.#open.size === 0) return
    const record: WatchRecord = {
      type: 'request',
      at: this.#now(),
      request: this.#number(request),
      state,
      tier: request.tier.name,
      promptTokens: request.prompt.length,
      cachedTokens: request.cached,
      early: request.revocable,
      ...(reason && { reason }),
    }
    this.#add(() => record)
  }

  #rows({ sequence, from, to, valid, output }: Rows, owner: Owner | undefined, namespace: string): WatchedRows {
    const kind = sequence.isInput
      ? 'input'
      : sequence.kind !== 'reply'
        ? sequence.kind
        : from < sequence.prefillLength
          ? 'prompt'
          : to - output > 1 || from >= sequence.committed
            ? 'guess'
            : 'reply'
    return {
      request: this.#number(owner ?? sequence),
      kind,
      from,
      to,
      valid: Math.min(valid, to),
      ...(owner?.cacheNamespace === namespace && { text: this.#excerpt(sequence.tokens.slice(from, to)) }),
    }
  }

  #owner(sequence: Sequence): Owner | undefined {
    return this.#ownerOf(sequence.parent ?? sequence)
  }

  #number(owner: object): number {
    const known = this.#numbers.get(owner)
    if (known !== undefined) return known
    this.#numbers.set(owner, ++this.#lastNumber)
    return this.#lastNumber
  }

  #excerpt(tokens: readonly number[]): string {
    if (tokens.length === 1) return this.#tokenText(tokens[0]!)
    if (tokens.length <= wholeText) return this.#textOf(tokens)
    return `${this.#textOf(tokens.slice(0, endTokens))} … ${this.#textOf(tokens.slice(-endTokens))}`
  }

  #textOf(tokens: readonly number[]): string {
    return decoder.decode(Buffer.concat(tokens.map((token) => this.#vocabulary.bytesOf(token))))
  }

  #tokenText(token: number): string {
    const known = this.#texts.get(token)
    if (known !== undefined) return known
    const text = this.#textOf([token])
    this.#texts.set(token, text)
    return text
  }

  #add(record: (namespace: string, others: number) => WatchRecord): void {
    for (const open of this.#open) {
      if (open.records.length >= mostAtOnce) open.missing++
      else open.records.push(record(open.options.namespace, open.options.others))
    }
    this.#timer ??= setTimeout(() => this.#tell(), tellWithoutStepMs).unref()
  }

  #tell(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#toldAt = this.#now()
    for (const open of this.#open) {
      const { records, missing } = open
      if (records.length === 0) continue
      open.records = []
      open.missing = 0
      open.watcher(missing > 0 ? [...records, { type: 'gap', records: missing }] : records)
    }
  }
}
