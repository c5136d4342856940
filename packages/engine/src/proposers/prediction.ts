import type { PredictedContent } from '../api/request.ts'
import type { Acceptances } from './acceptances.ts'
import { type Acceptance, type CommittedText, type Draft, maxDraft, type Proposer } from './proposer.ts'

/** The predicted text in one piece. */
export function predictedText({ content }: PredictedContent): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('')
}

/**
 * Drafts are judged by how many tokens in a row had agreed before, each class from its least number on. The priors say
 * only that longer agreement is better; the counts take over after a few drafts.
 */
const buckets = [
  { from: 0, name: '0', prior: 0.1 },
  { from: 1, name: '1', prior: 0.5 },
  { from: 2, name: '2', prior: 0.6 },
  { from: 3, name: '3-4', prior: 0.7 },
  { from: 5, name: '5-8', prior: 0.8 },
  { from: 9, name: '9-16', prior: 0.9 },
  { from: 17, name: '17+', prior: 0.95 },
] as const

// This many tokens in a row are agreement and no chance: the next search starts from there.
const certain = 3
// An edit is small more often than not: a place this far ahead needs less evidence than one further away or behind.
const near = 8
const nearBonus = 2
const minScore = 2
const maxCompared = 8
// Places compared for one token. Prose of 10,000 tokens has a few hundred commas.
const maxPlaces = 256

/** Acceptance of predictions for one kind of request. */
export interface PredictionAcceptance {
  /** Before the reply has begun. */
  readonly start: Acceptance
  /** By number of tokens that agreed, at most 17. */
  readonly agreed: readonly Acceptance[]
}

/** The statistics for predictions, shared by the sequences of an engine. */
export function predictionAcceptance(acceptances: Acceptances, kind: string): PredictionAcceptance {
  const agreed: Acceptance[] = []
  for (const { from, name, prior } of buckets) {
    const acceptance = acceptances.of('prediction', kind, prior, name)
    for (let count = from; count <= buckets.at(-1)!.from; count++) agreed[count] = acceptance
  }
  return { start: acceptances.of('prediction', kind, 0.5, 'start'), agreed }
}

interface PredictionDraft extends Draft {
  readonly acceptance: Acceptance
}

/**
 * Follows a predicted reply. When the reply departs from it, the place where it goes on is searched with the last tokens
 * of the reply: ahead of the departure first, so that an insertion, a deletion or a replacement costs about as many
 * tokens as it has itself. While no place is found, it is assumed that tokens were replaced one for one.
 *
 * A draft costs a microsecond while the reply follows, and 10 while it is being searched in a prediction of 8,192 tokens
 * of code.
 */
export class Prediction implements Proposer<PredictionDraft> {
  readonly name = 'prediction'
  readonly #predicted: Int32Array
  readonly #acceptance: PredictionAcceptance
  /** Tokens of the text that were compared. */
  #seen = -1
  /** The next token of the reply is expected to be predicted[at]. */
  #at = 0
  /** Tokens in a row that agreed before `at`. */
  #agreed = 0
  /** Where the reply certainly was for the last time, and how many tokens it has had since. */
  #anchor = 0
  #lost = 0

  /**
   * @param predicted tokens of the predicted reply
   * @param ends true for tokens that end a reply: nothing from the first of them on is proposed
   */
  constructor(predicted: readonly number[], acceptance: PredictionAcceptance, ends: (token: number) => boolean) {
    const end = predicted.findIndex(ends)
    this.#predicted = Int32Array.from(end < 0 ? predicted : predicted.slice(0, end))
    this.#acceptance = acceptance
  }

  propose({ tokens, committed, prompt }: CommittedText): PredictionDraft | undefined {
    if (this.#seen < 0) this.#seen = prompt
    for (; this.#seen < committed; this.#seen++) this.#follow(tokens, prompt, this.#seen)
    const guess = Array.from(this.#predicted.subarray(this.#at, this.#at + maxDraft))
    if (guess.length === 0) return undefined
    const { start, agreed } = this.#acceptance
    const acceptance = committed === prompt ? start : agreed[Math.min(this.#agreed, agreed.length - 1)]!
    return { source: 'prediction', tokens: guess, confidences: guess.map((_, i) => acceptance.at(i)), acceptance }
  }

  learn({ acceptance }: PredictionDraft, offered: number, right: number): void {
    acceptance.observe(offered, right)
  }

  /** Token `index` of the text is known now. */
  #follow(tokens: readonly number[], prompt: number, index: number): void {
    if (this.#predicted[this.#at] === tokens[index]) {
      this.#at++
      this.#agreed++
      if (this.#agreed < certain) this.#lost++
      else {
        this.#anchor = this.#at
        this.#lost = 0
      }
      return
    }
    this.#lost++
    const found = this.#search(tokens, prompt, index)
    this.#at = found?.at ?? Math.min(this.#anchor + this.#lost, this.#predicted.length)
    this.#agreed = found?.agreed ?? 0
  }

  /** The likeliest place after which the reply goes on: a long match, a near one, the first one ahead. */
  #search(tokens: readonly number[], prompt: number, index: number): { at: number; agreed: number } | undefined {
    const predicted = this.#predicted
    const token = tokens[index]!
    let best: { at: number; agreed: number } | undefined
    let bestScore = minScore - 1
    let wrapped = false
    let place = predicted.indexOf(token, this.#anchor)
    for (let i = 0; i < maxPlaces; i++) {
      if (place < 0 && !wrapped) {
        wrapped = true
        place = predicted.indexOf(token)
      }
      if (place < 0 || (wrapped && place >= this.#anchor)) break
      let agreed = 1
      while (
        agreed < maxCompared &&
        index - agreed >= prompt &&
        place >= agreed &&
        predicted[place - agreed] === tokens[index - agreed]
      )
        agreed++
      const isNear = !wrapped && place < this.#anchor + this.#lost + near
      const score = agreed + (isNear ? nearBonus : 0)
      if (score > bestScore) {
        best = { at: place + 1, agreed }
        bestScore = score
      }
      place = predicted.indexOf(token, place + 1)
    }
    return best
  }
}
