/** Few tokens, so that a wrong guess meets the right one now and then. Prompts consist of these. */
export const vocabulary = 6
/** Ends a reply: the one behind those of prompts. */
export const endToken = 6

/** A hash of 24 bits: a state travels as a float, which is exact up to there. */
export function mix(a: number, b: number): number {
  let value = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35)
  value = Math.imul(value ^ (value >>> 15), 0x27d4eb2f)
  return (value ^ (value >>> 13)) & 0xffffff
}

/** A layer range: its row at a position is a function of its row before and of what enters. */
export function layer(stage: number, before: number | undefined, input: number): number {
  return mix(before ?? stage + 1, mix(stage + 101, input))
}

/** The likeliest token after a row of the last stage. */
export function tokenOf(row: number): number {
  return mix(row, 7) % vocabulary
}

/** Logits of all tokens after a row of the last stage: one is clearly the best, and now and then that is the end. */
export function logitsOf(row: number): Float32Array {
  const logits = new Float32Array(vocabulary + 1)
  for (let token = 0; token < vocabulary; token++) logits[token] = (mix(row, 20 + token) & 0xff) / 64
  logits[tokenOf(row)]! += 4
  logits[endToken] = mix(row, 9) % 24 === 0 ? 9 : -4
  return logits
}

/** A text as the model has read it: the rows of its last token, and the texts that are one token longer. */
interface Place {
  readonly rows: readonly number[]
  readonly next: (Place | undefined)[]
}

/**
 * The model run over texts token by token, all stages, without caches that could be wrong: what every other way to run it
 * is compared with. It remembers every beginning that it has read.
 */
export class SequentialModel {
  readonly #stages: number
  readonly #start: Place = { rows: [], next: [] }

  constructor(stages: number) {
    this.#stages = stages
  }

  /** The rows that the last of tokens[0, end) leaves in each stage. */
  rowsAfter(tokens: readonly number[], end = tokens.length): readonly number[] {
    let place = this.#start
    for (let i = 0; i < end; i++) place = place.next[tokens[i]!] ?? this.#read(place, tokens[i]!)
    return place.rows
  }

  logitsAfter(tokens: readonly number[]): Float32Array {
    return logitsOf(this.rowsAfter(tokens).at(-1)!)
  }

  #read(place: Place, token: number): Place {
    const rows: number[] = []
    for (let stage = 0; stage < this.#stages; stage++) {
      rows.push(layer(stage, place.rows[stage], rows[stage - 1] ?? token))
    }
    const next: Place = { rows, next: [] }
    place.next[token] = next
    return next
  }
}

/** A prompt and the likeliest tokens after it. */
export function decodeAlone(prompt: readonly number[], length: number, stages: number): number[] {
  const model = new SequentialModel(stages)
  const tokens = [...prompt]
  while (tokens.length < prompt.length + length) tokens.push(tokenOf(model.rowsAfter(tokens).at(-1)!))
  return tokens
}
