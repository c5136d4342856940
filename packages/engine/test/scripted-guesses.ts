import assert from 'node:assert/strict'
import type { ProposerName } from '../src/api/proposer-names.ts'
import { type Chain, type GuessCosts, SpeculationGain } from '../src/core/cost/speculation-gain.ts'
import type { DraftModel, DraftRequest, ModelDraft } from '../src/core/executor.ts'
import type { Calibration } from '../src/core/sampling/calibration.ts'
import { CallerFault } from '../src/core/sampling/token-chooser.ts'
import type { ExitCalibration } from '../src/proposers/exit-calibration.ts'
import type { LookaheadOdds } from '../src/proposers/lookahead-odds.ts'
import type { CommittedText, Draft, Proposer } from '../src/proposers/proposer.ts'

/** Gives the values of a list in turn, for ever. */
export function inTurn<T>(values: readonly T[]): () => T | undefined {
  let asked = 0
  return () => values[asked++ % Math.max(1, values.length)]
}

/** What follows a text, or nothing. */
export type Guesser = (text: readonly number[]) => readonly number[]

/** How sure they are who guess: of short drafts more than of long ones, now and then. */
function confidences(tokens: readonly number[]): number[] {
  const confidence = [0.95, 0.8, 0.4][tokens.length % 3]!
  return tokens.map(() => confidence)
}

/** What is said of a draft must be true: its first `right` tokens were committed, and a wrong one was not. */
function checkVerdict(text: CommittedText, base: number, draft: readonly number[], offered: number, right: number) {
  assert.ok(offered > 0 && right >= 0 && right <= offered && offered <= draft.length, `${right} of ${offered} tokens`)
  const committed = text.tokens.slice(base, text.committed)
  assert.deepEqual(draft.slice(0, right), committed.slice(0, right), 'a draft is told that it was right')
  if (right === offered) return
  assert.ok(right < committed.length && draft[right] !== committed[right], 'a draft is told that it was wrong')
}

/** A proposer that guesses what it is told to, and checks what it is told. */
export class ScriptedProposer implements Proposer {
  readonly name: ProposerName
  readonly #guess: Guesser
  /** Drafts nobody has judged yet, and what they follow. */
  readonly #open = new Map<Draft, { text: CommittedText; base: number }>()
  /** Drafts that it was told about. */
  judged = 0
  /** Replies it was to learn from. */
  readonly finishedReplies: (readonly number[])[] = []

  constructor(name: ProposerName, guess: Guesser) {
    this.name = name
    this.#guess = guess
  }

  propose(text: CommittedText): Draft | undefined {
    const base = text.committed
    const tokens = this.#guess(text.tokens.slice(0, base))
    if (tokens.length === 0) return undefined
    const draft: Draft = { source: this.name, tokens, confidences: confidences(tokens) }
    this.#open.set(draft, { text, base })
    return draft
  }

  learn(draft: Draft, offered: number, right: number): void {
    const open = this.#open.get(draft)
    assert.ok(open, 'a proposer is told of a draft that is not its own, or twice')
    this.#open.delete(draft)
    this.judged++
    checkVerdict(open.text, open.base, draft.tokens, offered, right)
  }

  finished({ tokens, prompt, committed }: CommittedText): void {
    this.finishedReplies.push(tokens.slice(prompt, committed))
  }
}

/** A second model that drafts what it is told to. Things happen meanwhile. */
export class ScriptedDraftModel implements DraftModel {
  readonly name = 'draft'
  readonly #of: (request: DraftRequest) => Guesser
  readonly #meanwhile: () => void
  /** Drafts nobody has judged yet. */
  readonly #open = new Set<ModelDraft>()
  #asked = false

  /** @param of who guesses for a request; checks that it is asked about the request's own text */
  constructor(of: (request: DraftRequest) => Guesser, meanwhile: () => void) {
    this.#of = of
    this.#meanwhile = meanwhile
  }

  async propose(requests: readonly DraftRequest[]): Promise<{ drafts: readonly ModelDraft[] }> {
    assert.ok(!this.#asked, 'the draft model is busy')
    this.#asked = true
    const drafts = requests.map((request): ModelDraft => {
      try {
        return this.#draft(request)
      } catch (fault) {
        if (!(fault instanceof CallerFault)) throw fault
        return { tokens: [], confidences: [], raw: [], sampled: false, fault }
      }
    })
    for (const draft of drafts) this.#open.add(draft)
    await undefined
    this.#meanwhile()
    this.#asked = false
    return { drafts }
  }

  /** As a model does, it chooses what the request's constraint allows. */
  #draft(request: DraftRequest): ModelDraft {
    const { tokens: text, prompt, count, chooser } = request
    const guess = this.#of(request)(text).slice(0, count)
    const reply = { tokens: text, start: prompt, end: text.length, committed: text.length }
    const tokens = guess.slice(0, chooser.allowedLength(guess, reply))
    return { tokens, confidences: confidences(tokens), raw: confidences(tokens), sampled: false }
  }

  estimateMs(): { behind: number; guesses: number } {
    return { behind: 0, guesses: 0 }
  }

  observe(draft: ModelDraft, right: number): void {
    assert.ok(this.#open.delete(draft), 'the draft model is told of a draft that is not its own, or twice')
    assert.ok(right >= 0 && right <= draft.tokens.length)
  }
}

/** Guesses pay whenever the schedule says so, whatever they cost. */
export class ScriptedGain extends SpeculationGain {
  readonly #pays: () => boolean

  constructor(stages: number, costs: GuessCosts, pays: readonly boolean[]) {
    super(stages, costs, { separateCaches: false })
    const next = inTurn(pays)
    this.#pays = () => next() ?? true
  }

  override draftsOfStep(chains: readonly Chain[]): number[] {
    return chains.map(({ confidences }) => (this.#pays() ? confidences.length : 0))
  }

  override burstPays(before: readonly number[]): boolean {
    return before.length < 4 && this.#pays()
  }

  override exitPays(): boolean {
    return this.#pays()
  }

  override lookaheadPays(): boolean {
    return this.#pays()
  }

  override alternativePays(): boolean {
    return this.#pays()
  }

  /** So that a draft model's rows pay. */
  override stepMs(rows: number): number {
    return 1 + rows / 1000
  }
}

/** Lookaheads are worth what the schedule says. */
export function scriptedOdds(odds: readonly number[]): LookaheadOdds {
  const next = inTurn(odds)
  const one = () => next() ?? 1
  return { first: one, later: one, usual: () => 1, decided() {} }
}

const steps = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
const honest: Calibration = { from: steps, survival: steps, samples: 1000 }

/** What the exit head holds for likely is as likely as it says. */
export const honestExit: ExitCalibration = { first: honest, later: honest }
