import type { TextDocument } from 'vscode-languageserver-textdocument'
import { type BackendSession, PromptTooLong } from '../backends/backend.ts'
import { lineComment } from '../context/comments.ts'
import type { FimPrompt } from '../context/fim-format.ts'
import { type View, viewAt } from '../documents/document-view.ts'
import { type Found, findSuggestion, isTypedOut, wholeLines } from '../suggest/find.ts'
import { isWorthShowing } from '../suggest/gate.ts'
import type { Generation } from '../suggest/generation.ts'
import { Generations } from '../suggest/generations.ts'
import { insideWord } from '../suggest/situation.ts'
import { type Bounds, isSpent, shownOf } from '../suggest/view-of.ts'
import type { TraceEntry } from '../trace.ts'
import { Ahead, type CursorView } from './ahead.ts'
import { CompletionRunner } from './completion-runner.ts'
import { DocumentPrompts, type PromptHost } from './document-prompts.ts'
import type { WorkListener } from './work.ts'

/** What a session needs around it. */
export interface SessionHost extends PromptHost, WorkListener {
  readonly calibrate: (probability: number) => number
}

export interface Suggestion {
  /** With `\n` as line end. */
  readonly text: string
  readonly trace: Pick<TraceEntry, 'source' | 'silence' | 'firstMs' | 'saidTokens' | 'prompt'>
}

export interface Asked {
  readonly signal: AbortSignal
  /** The user asked for it: nothing is held back, and there are several. */
  readonly invoked: boolean
  /** Text that stands there as if it were typed. */
  readonly selected?: string
}

// An editor cancels the request of the last keystroke before it says what the new one is: what was said may still fit.
const cancelGraceMs = 30
const alternatives = 3
// A prompt that is too long is made shorter and asked again.
const maxTries = 4

/** The completions of one document. */
export class DocumentSession {
  readonly #document: () => TextDocument
  readonly #host: SessionHost
  readonly #session: BackendSession
  readonly #prompts: DocumentPrompts
  readonly #runner: CompletionRunner
  readonly #generations = new Generations()
  readonly #ahead: Ahead
  /** Where the cursor was last. */
  #current: CursorView = { view: viewAt('', 0, ''), cursor: 0 }
  #closed = false

  /** @param path in the workspace */
  constructor(document: () => TextDocument, path: string, host: SessionHost) {
    this.#document = document
    this.#host = host
    this.#prompts = new DocumentPrompts(path, host)
    this.#session = host.backend.open()
    this.#runner = new CompletionRunner(host, this.#session, () => this.#prompts.shrink())
    this.#ahead = new Ahead({
      generations: this.#generations,
      runner: this.#runner,
      current: () => this.#current,
      bounds: () => this.#bounds(false),
      prompt: (at, more) => this.#prompt(at, more),
    })
  }

  /** A change, as offsets in the text before it. */
  changed(from: number, to: number, length: number): void {
    this.#prompts.changed(from, to, length)
  }

  /** The cursor is here now: what stands before it is computed, and what was being said for another text ends. */
  follow(cursor: number): void {
    const view = this.#view(cursor)
    this.#generations.stopStrangers(view.typedTail, view.place.head)
    this.#session.follow(this.#prompt(cursor))
    if (!this.#host.settings.nextAhead) return
    if (isTypedOut(this.#generations, view, this.#bounds(false))) this.#ahead.begin(this.#current, '')
  }

  /** Other files changed so much that their chunks are chosen again at the next occasion. */
  forgetRelated(): void {
    this.#prompts.forgetRelated()
  }

  /** What to show at a cursor; several where the user asked. Empty: nothing, and why. */
  async suggest(cursor: number, asked: Asked): Promise<readonly Suggestion[]> {
    const view = this.#view(cursor, asked.selected)
    if (insideWord(view.situation)) return [silent('inside a word')]
    const first = await this.#best(cursor, view, asked)
    if (!asked.invoked || asked.signal.aborted || this.#closed) return [first]
    const others = await this.#alternatives(this.#prompt(cursor, asked.selected), view, asked.signal)
    const texts = new Set([first.text])
    return [first, ...others.filter(({ text }) => text !== '' && !texts.has(text) && texts.add(text))]
  }

  close(): void {
    this.#closed = true
    this.#ahead.close()
    this.#generations.clear()
    this.#session.close()
  }

  async #best(cursor: number, view: View, asked: Asked): Promise<Suggestion> {
    const bounds = this.#bounds(asked.invoked)
    const { version } = this.#document()
    const deadline = performance.now() + this.#host.settings.patienceMs
    let source: TraceEntry['source'] = 'known'
    let begun: Generation | undefined
    let tries = 0
    while (true) {
      const found = this.#find(view, bounds)
      if (found?.shown.complete) return this.#show(cursor, view, found, source, asked)
      if (begun?.state === 'failed' && !(begun.error instanceof PromptTooLong)) {
        return silent(`failed: ${String(begun.error)}`)
      }
      if (found === undefined && ++tries > maxTries) return silent('the back end gives nothing')
      if (source === 'known') source = found ? 'ahead' : 'asked'
      const running = found?.generation ?? this.#begin(this.#prompt(cursor, asked.selected), view, bounds)
      begun = running
      await this.#more(running, asked.signal, deadline)
      if (asked.signal.aborted) return silent('cancelled')
      if (this.#closed || this.#document().version !== version) return silent('the text changed')
      // Patience ends with whole lines; the rest is there when it is asked for.
      const late = performance.now() >= deadline ? this.#find(view, bounds) : undefined
      const lines = late && wholeLines(late)
      if (lines) return this.#show(cursor, view, lines, source, asked)
    }
  }

  #find(view: View, bounds: Bounds): Found | undefined {
    return findSuggestion(this.#generations, view, bounds)
  }

  #show(cursor: number, view: View, found: Found, source: TraceEntry['source'], asked: Asked): Suggestion {
    const { generation, typed, shown } = found
    const { firstMs, sent, tokens: saidTokens } = generation
    const trace = {
      source: source === 'known' && typed > generation.begun ? ('typed' as const) : source,
      saidTokens,
      ...(firstMs !== undefined && { firstMs }),
      ...(sent && { prompt: sent }),
    }
    // What is typed through stays to its last character.
    const goesOn = generation.wasShown && typed > generation.begun && shown.text !== ''
    if (!asked.invoked && !goesOn && !isWorthShowing(shown.text)) {
      const silence = shown.heldBack ? 'less likely than the bound' : 'nothing to say'
      return { text: '', trace: { ...trace, silence } }
    }
    generation.wasShown ||= shown.text !== ''
    // First the answer: what computes takes the cores.
    setImmediate(() => {
      if (!this.#host.settings.nextAhead || this.#closed || !this.#ahead.isAt(view)) return
      this.#ahead.begin({ cursor, view }, shown.text, asked.selected)
    })
    return { text: shown.text, trace }
  }

  /** Begins to say what comes at a place; what else is being said for this document ends. */
  #begin(prompt: FimPrompt, view: View, bounds: Bounds): Generation {
    this.#generations.stop()
    const { generation } = this.#runner.start(view, prompt, {}, (said) => this.#enough(said, view, bounds))
    this.#generations.add(generation)
    return generation
  }

  /** Whether more of a generation changes nothing, for where the cursor is by now. */
  #enough(generation: Generation, asked: View, bounds: Bounds): boolean {
    const { view } = this.#current
    for (const { generation: each, typed } of this.#generations.fitting(view.typedTail, view.place.head)) {
      if (each === generation) return typed !== undefined && this.#isEnough(generation, typed, view, bounds)
    }
    return this.#isEnough(generation, generation.begun, asked, bounds)
  }

  #isEnough(generation: Generation, typed: number, { situation }: View, bounds: Bounds): boolean {
    const { complete, heldBack } = shownOf(generation, typed, situation, bounds)
    // What is too unlikely to be shown is still what is typed next more often than anything else: then it is there.
    return heldBack && this.#host.settings.nextAhead ? isSpent(generation, typed, bounds) : complete
  }

  /** Waits until there is more of it; whoever is the last to give that up stops it. */
  async #more(generation: Generation, signal: AbortSignal, deadline: number): Promise<void> {
    await generation.more(signal, deadline - performance.now())
    if (!signal.aborted) return
    setTimeout(() => {
      if (!generation.isAwaited) generation.stop()
    }, cancelGraceMs)
  }

  /** Further completions, drawn instead of chosen. */
  async #alternatives(prompt: FimPrompt, view: View, signal: AbortSignal): Promise<Suggestion[]> {
    const bounds = this.#bounds(true)
    const seeds = Array.from({ length: alternatives - 1 }, (_, i) => i + 1)
    const all = seeds.map(async (seed) => {
      const shown = (said: Generation) => shownOf(said, said.begun, view.situation, bounds)
      const options = { temperature: 0.7, seed }
      const { generation, over } = this.#runner.start(view, prompt, options, (said) => shown(said).complete)
      const stop = () => generation.stop()
      signal.addEventListener('abort', stop, { once: true })
      await over
      signal.removeEventListener('abort', stop)
      return { text: shown(generation).text, trace: { source: 'asked' as const } }
    })
    return Promise.all(all)
  }

  #bounds(invoked: boolean): Bounds {
    const { settings, calibrate, backend } = this.#host
    const least = invoked || !backend.probabilities ? 0 : settings.minAcceptance
    return { least, calibrate, maxTokens: settings.maxTokens }
  }

  #view(cursor: number, selected = ''): View {
    const document = this.#document()
    const view = viewAt(document.getText(), cursor, lineComment(document.languageId), selected)
    this.#current = { view, cursor }
    return view
  }

  #prompt(cursor: number, more = ''): FimPrompt {
    return this.#prompts.at(this.#document(), cursor, more)
  }
}

function silent(silence: string): Suggestion {
  return { text: '', trace: { source: 'none', silence } }
}
