import type { View } from '../documents/document-view.ts'
import { isWorthShowing } from './gate.ts'
import type { Generation } from './generation.ts'
import type { Generations } from './generations.ts'
import { type Bounds, type Shown, shownOf } from './view-of.ts'

/** What there is for a place. */
export interface Found {
  readonly generation: Generation
  /** How much of it is typed, in UTF-16 units. */
  readonly typed: number
  readonly shown: Shown
}

const nothingYet: Shown = { text: '', complete: false, heldBack: false }

/** Something complete first, else something that is being said. */
export function findSuggestion(generations: Generations, view: View, bounds: Bounds): Found | undefined {
  let running: Found | undefined
  // Of what was stopped before its end, such as what was said ahead, the lines that are there.
  let lines: Found | undefined
  for (const { generation, typed } of generations.fitting(view.typedTail, view.place.head)) {
    if (typed === undefined) {
      running ??= { generation, typed: 0, shown: nothingYet }
      continue
    }
    const shown = shownOf(generation, typed, view.situation, bounds)
    // Where it stopped to speak for want of listeners, it has not said that there is nothing.
    const silent = generation.text.length > typed || generation.state === 'ended'
    if (shown.complete && (shown.text !== '' || silent)) return { generation, typed, shown }
    if (generation.state === 'running') running ??= { generation, typed, shown }
    else lines ??= wholeLines({ generation, typed, shown })
  }
  return running ?? lines
}

/** The lines of it that are said to their end, as if they were all. */
export function wholeLines(found: Found): Found | undefined {
  const text = found.shown.text.slice(0, Math.max(0, found.shown.text.lastIndexOf('\n'))).trimEnd()
  return isWorthShowing(text) ? { ...found, shown: { ...found.shown, text, complete: true } } : undefined
}

/** Whether something that was said is accepted, or typed to its end. */
export function isTypedOut(generations: Generations, { typedTail, place, situation }: View, bounds: Bounds): boolean {
  for (const { generation, typed } of generations.fitting(typedTail, place.head)) {
    if (typed === undefined || typed <= generation.begun) continue
    if (generation.text.slice(typed).trim() === '') return true
    const { text, complete, heldBack } = shownOf(generation, typed, situation, bounds)
    if (complete && text === '' && !heldBack) return true
  }
  return false
}
