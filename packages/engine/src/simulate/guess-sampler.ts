import { uniform } from './random.ts'

/**
 * How good the guesses are. A probability is that of a guess to be right given that the guesses before it were.
 */
export interface GuessQuality {
  /** Of each draft while a reply is being decoded, and of what a look decodes after its first token. */
  readonly drafts: number
  /** Share of positions at which anybody has a draft to offer. */
  readonly coverage: number
  /** Of the first token of a look that has read a tenth of the prompt. */
  readonly looks: number
  /** Of each guess of the exit head. */
  readonly exits: number
}

// What a draw is about.
const about = { draft: 101, offer: 102, hard: 103, look: 104, exit: 105 }

/** Whether guesses are right, drawn per request and position. */
export class GuessSampler {
  readonly quality: GuessQuality
  readonly #seed: number

  constructor(quality: GuessQuality, seed: number) {
    this.quality = quality
    this.#seed = seed
  }

  /** Whether anybody has a draft for what follows this position of a reply. */
  offers(request: number, position: number): boolean {
    return uniform(this.#seed, about.offer, request, position) < this.quality.coverage
  }

  /** Whether a draft for this position is right, if those before it are. */
  draft(request: number, position: number): boolean {
    return uniform(this.#seed, about.draft, request, position) < this.quality.drafts
  }

  exit(request: number, position: number): boolean {
    return uniform(this.#seed, about.exit, request, position) < this.quality.exits
  }

  /**
   * The first token that a look sees: its calibrated stability, and whether it is right. Misses shrink in proportion to
   * what is left unread (measured: EXITS, "several looks"), and some prompts are hard for every look: stability is spread
   * by 1 - u^(1/b), a one-parameter family with mean 1 / (1 + b), which puts most mass near 1 when the mean is high.
   * @param share of the prompt that was read, 0 to 1
   */
  look(request: number, share: number): { stability: number; right: boolean } {
    const missed = Math.min(0.999, Math.max(1e-6, ((1 - this.quality.looks) * (1 - share)) / 0.9))
    const stability = 1 - uniform(this.#seed, about.hard, request) ** ((1 - missed) / missed)
    return { stability, right: uniform(this.#seed, about.look, request) < stability }
  }
}
