import { confidentLength, isHopeless } from './gate.ts'
import type { Generation } from './generation.ts'
import type { Situation } from './situation.ts'
import { cutSuggestion } from './stop-rules.ts'

export interface Bounds {
  /** Least probability of acceptance. */
  readonly least: number
  readonly calibrate: (probability: number) => number
  readonly maxTokens: number
}

/** What of a generation would be shown. */
export interface Shown {
  readonly text: string
  /** More of the generation would change nothing. */
  readonly complete: boolean
  /** Something was said, and held back as too unlikely. */
  readonly heldBack: boolean
}

// Of the bound: hardly anybody types what is less likely than that.
const unlikely = 0.1

/**
 * What of a generation is shown at a cursor.
 * @param typed how much of it is typed, in UTF-16 units
 */
export function shownOf(generation: Generation, typed: number, situation: Situation, bounds: Bounds): Shown {
  const said = generation.from(typed)
  const raw = said.map(({ text }) => text).join('')
  const ended = generation.state === 'ended'
  const cut = cutSuggestion(raw, situation, ended)
  const limited = ended && generation.tokens >= bounds.maxTokens && cut.text.length >= raw.trimEnd().length
  // At its limit it stopped in the middle of something.
  const text = limited ? cut.text.replace(/[\p{L}\p{N}_$]+$/u, '').trimEnd() : cut.text
  const confident = confidentLength(said, text.length, bounds.least, bounds.calibrate)
  if (confident < text.length) {
    return { text: text.slice(0, confident).trimEnd(), complete: true, heldBack: true }
  }
  return { text, complete: cut.complete && !(limited && text === ''), heldBack: false }
}

/**
 * Whether more of what nobody sees yet is of no use to whoever may type it: its line is said, or hardly anybody comes so far.
 * @param typed how much of it is typed, in UTF-16 units
 */
export function isSpent(generation: Generation, typed: number, { least, calibrate }: Bounds): boolean {
  const said = generation.from(typed)
  return /\S[^\n]*\n/.test(generation.text.slice(typed)) || isHopeless(said, unlikely * least, calibrate)
}
