import type { DeltaEvent, DoneEvent, FinishReason, GenerateEvent, Timings, Usage } from '../api/events.ts'
import type { ProposerName } from '../api/proposer-names.ts'
import type { ChosenLogprobs } from '../core/sampling/token-chooser.ts'
import type { ShownWord } from '../proposers/first-words.ts'
import { Detokenizer } from '../text/detokenize.ts'
import { StopScanner } from '../text/stop.ts'
import type { FormerLife } from './former-life.ts'

/** A guess in the tail, as the reply sees it. */
export interface Guess {
  readonly token: number
  /** Calibrated probability that it survives, given that the guesses before it do. */
  readonly stability: number
}

export interface ReplyOptions {
  bytesOf: (token: number) => Uint8Array
  isEnd: (token: number) => boolean
  stop: readonly string[]
  /** Stop strings end the reply only behind so many tokens. Default 0. */
  minTokens?: number
  /** Show guesses at all, and from which stability on. */
  provisional: boolean
  minStability: number
  /** The reply's first word is shown from this stability on, and what follows it is measured by itself. */
  firstStability?: number | undefined
  /** @param tokens of a delta */
  emit: (event: GenerateEvent, tokens?: readonly number[]) => void
  now?: () => number
}

/**
 * The text side of one reply: committed tokens and the tail go in, events come out. Characters and stop strings that
 * are not complete are held back, and a tail is only said when it changed.
 */
export class Reply {
  readonly timings: Timings = {
    queueMs: 0,
    promptMs: null,
    provisionalMs: null,
    stableMs: null,
    committedMs: null,
    predictedMs: 0,
    promptN: 0,
    predictedN: 0,
    draftedN: 0,
    acceptedN: 0,
    rejectedN: 0,
    retractedN: 0,
    toleratedN: 0,
    earlyN: 0,
  }
  readonly #options: ReplyOptions
  readonly #detokenizer: Detokenizer
  readonly #stops: StopScanner
  readonly #now: () => number
  #start: number
  /** Committed text that the stop scanner still holds is not counted. */
  #length = 0
  #rev = 0
  #shown = ''
  #shownTokens = 0
  #source: ProposerName = 'exit'
  #firstShown: ShownWord | undefined
  /** The first token of the reply as it is shown now, before it is committed. */
  #first: { token: number; ms: number } | undefined
  #pending: number[] = []
  #pendingLogprobs: ChosenLogprobs[] = []
  #firstTokenMs = 0

  constructor(options: ReplyOptions) {
    this.#options = options
    this.#detokenizer = new Detokenizer(options.bytesOf)
    this.#stops = new StopScanner(options.stop)
    this.#now = options.now ?? (() => performance.now())
    this.#start = this.#now()
  }

  /** Whether its reader sees guesses. */
  get showsGuesses(): boolean {
    return this.#options.provisional
  }

  /** Number of tokens after the committed ones that are shown. */
  get shownTokens(): number {
    return this.#shown === '' ? 0 : this.#shownTokens
  }

  /** What was shown first of a reply that had not begun. */
  get firstShown(): ShownWord | undefined {
    return this.#firstShown
  }

  /** Milliseconds since the request was accepted. */
  elapsed(): number {
    return this.#now() - this.#start
  }

  /** Its first row runs now. */
  started(): void {
    if (this.timings.queueMs === 0) this.timings.queueMs = this.elapsed()
  }

  /** The request begins now: what was done before, for a text that was not final, took none of its time. */
  restart(): void {
    const passed = this.elapsed()
    const { timings } = this
    for (const name of ['promptMs', 'provisionalMs', 'stableMs', 'committedMs'] as const) {
      const ms = timings[name]
      if (ms !== null) timings[name] = Math.max(0, ms - passed)
    }
    timings.queueMs = 0
    this.#firstTokenMs = Math.max(0, this.#firstTokenMs - passed)
    this.#start += passed
  }

  /**
   * It goes on where a former life of it ended: nothing of that is said again.
   * @returns why it ended there, where it did
   */
  goOn({ tokens, elapsedMs, committedMs, rev }: FormerLife): 'stop' | undefined {
    this.#start -= elapsedMs
    this.#rev = rev
    let ended: 'stop' | undefined
    for (const token of tokens) ended ??= this.commit(token)
    if (committedMs !== null) {
      const { timings } = this
      // Each of them was then, or before.
      timings.queueMs = committedMs
      timings.promptMs = timings.provisionalMs = timings.stableMs = timings.committedMs = committedMs
      this.#firstTokenMs = committedMs
    }
    this.#length = this.#text.length
    this.#text = ''
    this.#pending = []
    return ended
  }

  /** Its prompt has left the last stage. */
  promptDone(): void {
    this.timings.promptMs ??= this.elapsed()
  }

  /** A token was committed. Returns why the reply ends with it, if it does. `flush()` then emits the text. */
  commit(token: number, logprobs?: ChosenLogprobs): 'stop' | undefined {
    const ms = this.elapsed()
    if (this.timings.predictedN === 0) {
      // Otherwise it is first seen when its text is said.
      if (this.#first?.token === token) this.timings.stableMs = this.#first.ms
      this.#firstTokenMs = ms
    }
    this.timings.predictedN++
    this.#shownTokens = Math.max(0, this.#shownTokens - 1)
    this.timings.predictedMs = ms - this.#firstTokenMs
    this.#pending.push(token)
    if (logprobs) this.#pendingLogprobs.push(logprobs)
    if (this.#options.isEnd(token)) return 'stop'
    const piece = this.#detokenizer.push(token)
    if (this.timings.predictedN <= (this.#options.minTokens ?? 0)) {
      this.#text += piece
      return undefined
    }
    const { text, stopped } = this.#stops.push(piece)
    this.#text += text
    if (stopped === undefined) return undefined
    this.#stopString = stopped
    return 'stop'
  }

  #text = ''
  #stopString: string | undefined

  /** Emits the text committed since the last call. */
  flush(): void {
    if (this.#text === '') return
    const ms = this.elapsed()
    this.timings.provisionalMs ??= ms
    this.timings.stableMs ??= ms
    this.timings.committedMs ??= ms
    const bytes = (token: number) => [...this.#options.bytesOf(token)]
    const logprobs = this.#pendingLogprobs.splice(0).map(({ top, ...chosen }) => ({
      ...chosen,
      bytes: bytes(chosen.token),
      top: top.map((other) => ({ ...other, bytes: bytes(other.token) })),
    }))
    const tokens = this.#pending.splice(0)
    const delta: DeltaEvent = {
      type: 'delta',
      text: this.#text,
      tokens: tokens.length,
      ...(logprobs.length > 0 && { logprobs }),
    }
    this.#options.emit(delta, tokens)
    this.#length += this.#text.length
    // What the delta confirms leaves the tail; a tail that disagrees is dropped. The reader does the same by itself.
    if (this.#shown.startsWith(this.#text)) this.#shown = this.#shown.slice(this.#text.length)
    else if (this.#text.startsWith(this.#shown)) this.#shown = ''
    else this.#withdrawn()
    this.#text = ''
  }

  /** The tail after the committed text now is this. Emits what of it may be shown, if that changed. */
  show(tail: readonly Guess[], source: ProposerName): void {
    if (!this.#options.provisional) return
    const visible: number[] = []
    const { minStability, firstStability, isEnd } = this.#options
    const begins = this.timings.predictedN === 0 && firstStability !== undefined
    let stability = 1
    let measured = 1
    for (const guess of tail) {
      const isFirst = begins && visible.length === 0
      const next = measured * guess.stability
      if (next < (isFirst ? firstStability : minStability) || isEnd(guess.token)) break
      if (!isFirst) measured = next
      stability *= guess.stability
      visible.push(guess.token)
    }
    const text = visible.length === 0 ? '' : this.#stops.clip(this.#detokenizer.peek(visible))
    this.#shownTokens = visible.length
    if (text === this.#shown) return
    const taken = !text.startsWith(this.#shown)
    this.timings.provisionalMs ??= this.elapsed()
    if (this.timings.predictedN === 0) {
      // A token whose text is held back is not shown.
      const token = text === '' ? undefined : visible[0]
      if (token !== undefined) this.#firstShown ??= { token, stability: tail[0]!.stability, source }
      if (token === undefined) this.#first = undefined
      else if (this.#first?.token !== token) this.#first = { token, ms: this.elapsed() }
    }
    if (taken) this.timings.retractedN++
    this.#shown = text
    if (text !== '') this.#source = source
    this.#options.emit({
      type: 'provisional',
      rev: ++this.#rev,
      base: this.#length,
      text,
      tokens: this.shownTokens,
      stability: text === '' ? 0 : stability,
      source: this.#source,
      ...(taken ? { reason: 'mismatch' as const } : {}),
    })
  }

  #withdrawn(): void {
    if (this.#shown !== '') this.timings.retractedN++
    this.#shown = ''
  }

  /** Ends the reply: releases held-back text, takes a tail back and emits `done`. */
  finish(reason: FinishReason, usage: Pick<Usage, 'promptTokens' | 'cachedTokens'>): void {
    if (this.#stopString === undefined && reason !== 'cancelled') {
      const { text, stopped } = this.#stops.push(this.#detokenizer.flush())
      this.#text += stopped === undefined ? text + this.#stops.flush() : text
    }
    this.flush()
    this.show([], this.#source)
    this.timings.committedMs ??= this.timings.predictedN > 0 ? this.elapsed() : null
    this.timings.stableMs ??= this.timings.committedMs
    const done: DoneEvent = {
      type: 'done',
      finishReason: reason,
      ...(this.#stopString === undefined ? {} : { stopString: this.#stopString }),
      usage: {
        ...usage,
        completionTokens: this.timings.predictedN,
        acceptedPredictionTokens: this.timings.acceptedN,
        rejectedPredictionTokens: this.timings.rejectedN,
      },
      timings: { ...this.timings },
    }
    this.#options.emit(done)
  }
}
