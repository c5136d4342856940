import type { Acceptances } from './acceptances.ts'
import { Beginnings, type Electorate, end, maxBeginning, type Vote } from './beginnings.ts'
import type { Acceptance, CommittedText, Draft, Proposer } from './proposer.ts'

/** What the engine remembers at most. A prompt takes 2 kB: 35 MB for all of them. */
interface OpeningLimits {
  readonly namespaces: number
  readonly promptsPerNamespace: number
  readonly prompts: number
}
const defaultLimits: OpeningLimits = { namespaces: 256, promptsPerNamespace: 2000, prompts: 16_000 }

/**
 * How the replies to earlier prompts began, per namespace (`cacheSalt`: nobody learns from another tenant's replies). The
 * namespace that was not used for the longest time is forgotten first.
 */
export class Openings {
  /** Least recently used first. */
  readonly #namespaces = new Map<string, Beginnings>()
  readonly #limits: OpeningLimits
  #prompts = 0

  constructor(limits: OpeningLimits = defaultLimits) {
    this.#limits = limits
  }

  /** What is known in a namespace. */
  of(namespace: string): Beginnings {
    const known = this.#namespaces.get(namespace) ?? new Beginnings(this.#limits.promptsPerNamespace)
    this.#namespaces.delete(namespace)
    this.#namespaces.set(namespace, known)
    this.#forget()
    return known
  }

  /** A reply in this namespace began with these tokens: four, or fewer and `end`. */
  add(namespace: string, prompt: readonly number[], beginning: readonly number[]): void {
    const beginnings = this.of(namespace)
    const before = beginnings.size
    beginnings.add(prompt, beginning)
    this.#prompts += beginnings.size - before
    this.#forget()
  }

  #forget(): void {
    for (const [name, { size }] of this.#namespaces) {
      if (this.#namespaces.size <= this.#limits.namespaces && this.#prompts <= this.#limits.prompts) return
      this.#namespaces.delete(name)
      this.#prompts -= size
    }
  }
}

/**
 * Proposes how a reply begins: as the replies to the nearest earlier prompts did. It needs no layer of the model and is
 * what every cleverer guess at a first token must beat. Right for 59% of first tokens of SmolLM2-135M on Spec-Bench and
 * HumanEval when all other prompts are known (the most frequent one is right for 25%), and for the prompt itself, when it
 * comes again, nearly always. Asking costs 40 to 70 microseconds, learning 10 to 40.
 */
export class Opening implements Proposer {
  readonly name = 'opening'
  readonly #openings: Openings
  readonly #namespace: string
  readonly #acceptances: Acceptances
  readonly #kind: string
  readonly #ends: (token: number) => boolean
  #electorate: Electorate | undefined
  #votes: readonly Vote[] = []

  /**
   * @param kind of request, as in `Acceptances`
   * @param ends true for tokens that end a reply
   */
  constructor(
    openings: Openings,
    namespace: string,
    acceptances: Acceptances,
    kind: string,
    ends: (token: number) => boolean,
  ) {
    this.#openings = openings
    this.#namespace = namespace
    this.#acceptances = acceptances
    this.#kind = kind
    this.#ends = ends
  }

  propose({ tokens, committed, prompt }: CommittedText): Draft | undefined {
    const given = committed - prompt
    if (given >= maxBeginning) return undefined
    const electorate = this.#ask(tokens, prompt)
    const path = tokens.slice(prompt, committed)
    const followed = path.every((token, i) => this.#votes[i]?.token === token)
    const votes = followed ? this.#votes.slice(given) : this.#openings.of(this.#namespace).vote(electorate, path)
    if (votes.length === 0) return undefined
    const confidences = votes.map((vote, i) => this.#acceptance(given + i, vote).at(0))
    return { source: 'opening', tokens: votes.map(({ token }) => token), confidences }
  }

  /** Nothing: every reply says what its whole beginning was worth, whether it was offered or not. */
  learn(): void {}

  finished({ tokens, committed, prompt }: CommittedText): void {
    const reply = tokens.slice(prompt, Math.min(committed, prompt + maxBeginning))
    if (reply.length === 0) return
    const stop = reply.findIndex(this.#ends)
    const beginning = stop < 0 ? reply : [...reply.slice(0, stop), end]
    this.#ask(tokens, prompt)
    for (const [depth, vote] of this.#votes.entries()) {
      if (beginning[depth] === undefined) break
      const right = vote.token === beginning[depth]
      this.#acceptance(depth, vote).observe(1, right ? 1 : 0)
      if (!right) break
    }
    this.#openings.add(this.#namespace, tokens.slice(0, prompt), beginning)
  }

  /** What was voted before the reply began. */
  #ask(tokens: readonly number[], prompt: number): Electorate {
    if (this.#electorate === undefined) {
      const beginnings = this.#openings.of(this.#namespace)
      this.#electorate = beginnings.electorate(tokens.slice(0, prompt))
      this.#votes = beginnings.vote(this.#electorate, [])
    }
    return this.#electorate
  }

  /** How often a token with such a share of the votes was right: its share, before anything was counted. */
  #acceptance(depth: number, { share }: Vote): Acceptance {
    const step = Math.floor(10 * Math.min(share, 0.99))
    const who = this.#electorate!.same ? 'same' : 'near'
    // Measured on the same prompts as above: ignorance weighs a little too much.
    const prior = Math.min(0.9, 0.12 * (step + 0.5))
    return this.#acceptances.of('opening', this.#kind, prior, `${who} ${depth === 0 ? 'first' : 'later'} ${step}`)
  }
}
