import type { FimPrompt } from '../context/fim-format.ts'
import { type View, viewBehind } from '../documents/document-view.ts'
import { findSuggestion } from '../suggest/find.ts'
import type { Generation } from '../suggest/generation.ts'
import type { Generations } from '../suggest/generations.ts'
import { linePrefix, nextIndent } from '../suggest/situation.ts'
import { type Bounds, isSpent } from '../suggest/view-of.ts'
import type { CompletionRunner } from './completion-runner.ts'

/** Where a cursor is, and what it sees there. */
export interface CursorView {
  readonly cursor: number
  readonly view: View
}

export interface AheadParts {
  readonly generations: Generations
  readonly runner: CompletionRunner
  /** Where the cursor is now. */
  readonly current: () => CursorView
  readonly bounds: () => Bounds
  /** @param more text that stands at the cursor as if it were typed */
  readonly prompt: (cursor: number, more: string) => FimPrompt
}

/**
 * What is computed before it is asked for: what comes when the text that is shown is accepted, or typed to its end. One line,
 * because that is what is looked at next; where nothing comes in that line, it is the line below, as deep as an editor would
 * begin it.
 */
export class Ahead {
  readonly #parts: AheadParts
  #running: Generation | undefined

  constructor(parts: AheadParts) {
    this.#parts = parts
  }

  /**
   * @param shown what stands behind the cursor for those who accept it
   * @param selected the entry of a completion list that stands before it
   */
  begin({ cursor, view }: CursorView, shown: string, selected = ''): void {
    const { generations, runner, bounds: boundsNow, prompt: promptOf } = this.#parts
    const behind = viewBehind(view, shown)
    const bounds = boundsNow()
    const below = () => {
      if (linePrefix(behind.situation).trim() === '') return
      this.begin({ cursor, view }, `${shown}\n${nextIndent(behind.situation)}`, selected)
    }
    const there = findSuggestion(generations, behind, bounds)
    // What is held back is still to be typed in this line.
    if (there?.shown.text || there?.shown.heldBack || there?.generation.state === 'running') return
    if (there) {
      below()
      return
    }
    this.#running?.stop()
    const prompt = promptOf(cursor, selected + shown)
    const { generation, over } = runner.start(behind, prompt, { background: true }, (said) =>
      isSpent(said, said.begun, bounds),
    )
    this.#running = generation
    generations.add(generation)
    void over.then(() => {
      const nothing = generation.state === 'ended' && generation.text.slice(generation.begun).trim() === ''
      if (!nothing || this.#running !== generation) return
      if (this.isAt(behind)) this.begin(this.#parts.current(), '')
      else if (this.isAt(view)) below()
    })
  }

  /** Whether the cursor stands at this place now. */
  isAt({ place }: View): boolean {
    const { view } = this.#parts.current()
    return view.place.tail === place.tail && view.place.head === place.head
  }

  /** Begins nothing more. */
  close(): void {
    this.#running = undefined
  }
}
