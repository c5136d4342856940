import type { ProposerName } from '../api/proposer-names.ts'
import { Acceptance } from './proposer.ts'

/** Acceptance as a profile keeps it: per class, [tried, right] for each position of a draft. */
export type SavedAcceptances = Record<string, (readonly [tried: number, right: number])[]>

// Kinds come from a short list of tiers; a caller that names them freely must not fill the memory.
const maxClasses = 1000

/**
 * Acceptance statistics of an engine, by proposer, kind of request, and a bucket of the proposer's own (how long its match
 * was, say). A kind that was rarely seen is judged by what the proposer's drafts were worth in all kinds.
 */
export class Acceptances {
  readonly #classes = new Map<string, Acceptance>()
  readonly #saved: SavedAcceptances

  /** @param saved what `toJSON` gave; entries that are not counts are ignored */
  constructor(saved: unknown = {}) {
    this.#saved = checked(saved)
  }

  /**
   * The statistics of one class; the same object for the same class.
   * @param kind of request: its tier, or `first` and `later` for the first token of a reply and the others
   * @param prior acceptance assumed until drafts of this bucket were judged in any kind
   * @param bucket the proposer's own distinction
   */
  of(proposer: ProposerName, kind: string, prior: number, bucket = ''): Acceptance {
    const all = this.#get(`${proposer}/${bucket}`, prior)
    return this.#get(`${proposer}/${bucket}/${kind}`, all)
  }

  #get(key: string, prior: number | Acceptance): Acceptance {
    const known = this.#classes.get(key)
    if (known) return known
    // Beyond the bound a kind has no statistics of its own.
    if (this.#classes.size >= maxClasses && prior instanceof Acceptance) return prior
    const acceptance = new Acceptance(prior, this.#saved[key])
    this.#classes.set(key, acceptance)
    return acceptance
  }

  /** For a profile: everything counted, with what was loaded and not asked for since. */
  toJSON(): SavedAcceptances {
    const counted = [...this.#classes].map(([key, acceptance]) => [key, acceptance.counts] as const)
    return { ...this.#saved, ...Object.fromEntries(counted.filter(([, counts]) => counts.length > 0)) }
  }
}

function checked(saved: unknown): SavedAcceptances {
  if (typeof saved !== 'object' || saved === null) return {}
  const entries = Object.entries(saved).filter(([, counts]) => Array.isArray(counts) && counts.every(isCount))
  return Object.fromEntries(entries) as SavedAcceptances
}

function isCount(pair: unknown): boolean {
  if (!Array.isArray(pair) || pair.length !== 2) return false
  const [tried, right] = pair as unknown[]
  return typeof tried === 'number' && typeof right === 'number' && right >= 0 && right <= tried && tried < 1e6
}
