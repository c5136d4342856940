import type { ProposerName } from '../api/proposer-names.ts'
import type { ShownCounts } from '../api/stats.ts'
import {
  LearnedOdds,
  type LookaheadOdds,
  type SavedOdds,
  type SeenToken,
  type SkimCalibration,
} from './lookahead-odds.ts'
import { ShownBound } from './shown-bound.ts'

/** Most namespaces that something is known of; the one that was not used for the longest time is forgotten first. */
const mostNamespaces = 256
/** So many of the last first words are told of. */
const toldOf = 1000

/** A first word that was shown before it was decided. */
export interface ShownWord {
  readonly token: number
  readonly stability: number
  readonly source: ProposerName
}

/** What guesses at first words are made with, per namespace, and who learns of them. */
export interface FirstWordBook {
  of(namespace: string): { readonly odds: LookaheadOdds }
  /** A reply has its first token. */
  decided(word: DecidedWord): void
  /** By proposer. */
  readonly counts: Readonly<Partial<Record<ProposerName, ShownCounts>>>
}

/** A book that learns nothing. */
export function fixedFirstWords(odds: LookaheadOdds): FirstWordBook {
  return { of: () => ({ odds }), decided() {}, counts: {} }
}

/** What is known in one namespace. */
interface Known {
  readonly odds: LearnedOdds
  readonly bound: ShownBound
}

/** What a profile keeps: of requests in no namespace. */
export interface SavedFirstWords {
  readonly odds: SavedOdds
  readonly bound: number
  /** The calibration that they began with. */
  readonly of: string
}

/** What became of one. */
interface Outcome extends ShownWord {
  readonly survived: boolean
}

/** What a reply began with, and what of that was seen and shown before. */
export interface DecidedWord {
  readonly namespace: string
  readonly token: number
  /** What lookaheads saw, in order. */
  readonly looks: readonly SeenToken[]
  /** What was shown first. */
  readonly shown: ShownWord | undefined
  /** No client has asked for this bound: it is the promise on the average. */
  readonly onAverage: boolean
}

/**
 * What an engine has learnt of first words that it guessed: every one of them is decided a moment later. Per namespace
 * (`cacheSalt`): nobody's bound moves with another tenant's prompts.
 */
export class FirstWords implements FirstWordBook {
  readonly #calibration: SkimCalibration
  /** Least recently used first. */
  readonly #namespaces = new Map<string, Known>()
  readonly #last: Outcome[] = []
  readonly counts: Partial<Record<ProposerName, ShownCounts>> = {}

  /** @param saved what `toJSON` gave; anything else is ignored, and what was learnt with another calibration */
  constructor(calibration: SkimCalibration, saved?: unknown) {
    this.#calibration = calibration
    const { odds, bound, of } = (saved ?? {}) as Partial<Record<keyof SavedFirstWords, unknown>>
    if (of !== calibration.note) return
    this.#namespaces.set('', { odds: new LearnedOdds(calibration, odds), bound: new ShownBound(bound) })
  }

  /** For a profile. */
  toJSON(): SavedFirstWords {
    const { odds, bound } = this.of('')
    return { odds: odds.toJSON(), bound: bound.value, of: this.#calibration.note }
  }

  of(namespace: string): Known {
    const known = this.#namespaces.get(namespace) ?? {
      odds: new LearnedOdds(this.#calibration),
      bound: new ShownBound(),
    }
    this.#namespaces.delete(namespace)
    this.#namespaces.set(namespace, known)
    const [oldest] = this.#namespaces.keys()
    if (this.#namespaces.size > mostNamespaces) this.#namespaces.delete(oldest!)
    return known
  }

  decided({ namespace, token, looks, shown, onAverage }: DecidedWord): void {
    const { odds, bound } = this.of(namespace)
    odds.decided(looks, token)
    if (shown === undefined) return
    const survived = shown.token === token
    if (onAverage) bound.observe(survived)
    const outcome = { ...shown, survived }
    this.#last.push(outcome)
    this.#count(outcome, 1)
    if (this.#last.length > toldOf) this.#count(this.#last.shift()!, -1)
  }

  #count({ source, stability, survived }: Outcome, by: 1 | -1): void {
    this.counts[source] ??= { shown: 0, survived: 0, expected: 0 }
    const counts = this.counts[source]
    counts.shown += by
    counts.survived += survived ? by : 0
    counts.expected += by * stability
  }
}
