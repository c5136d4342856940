import { survivalOf } from '../core/sampling/calibration.ts'
import { topProbability } from '../core/sampling/sample.ts'
import type { Head, HeadsFile } from '../runtime/load/heads-file.ts'
import type { Acceptances } from './acceptances.ts'
import type { Acceptance, CommittedText, Draft, Proposer } from './proposer.ts'

// A head costs a part of a step, and is for nothing when a guess before it is wrong: it is asked only while the chain
// before it holds with this probability.
const minSurvival = 0.2

/** What a head holds for likely. */
export interface HeadGuess {
  readonly token: number
  /** Calibrated probability that it is right, if the guesses before it are. */
  readonly survival: number
}

/**
 * Heads that guess the tokens after the next one from the state that leaves stage 0, each a linear map of low rank
 * (Medusa: Cai et al., 2401.10774, section 3.1, without its residual block). One guess of one head is a matrix times a
 * vector in JavaScript: 3.5 ms for 49,152 tokens, n_embd 576 and rank 64, of which nearly all is `up`; 0.6 ms when 8,192
 * tokens can be guessed (FR-Spec: Zhao et al., 2502.14856); 0.3 ms for 4,096 tokens, n_embd 128 and rank 64.
 */
export class Heads {
  readonly #heads: readonly Head[]
  readonly #tokens: Int32Array | undefined
  readonly #logits: Float32Array

  constructor({ heads, tokens }: HeadsFile) {
    this.#heads = heads
    this.#tokens = tokens
    this.#logits = new Float32Array(heads[0]!.up.length / heads[0]!.rank)
  }

  /**
   * The tokens that follow the next one.
   * @param state of the last token, `Float32Array` of n_embd, as it leaves the exit's layer
   */
  guess(state: Float32Array): HeadGuess[] {
    const x = normalised(state)
    const guesses: HeadGuess[] = []
    let chain = 1
    for (const { rank, down, up, calibration } of this.#heads) {
      if (chain < minSurvival) break
      const inner = new Float32Array(rank)
      multiply(down, x, inner)
      multiply(up, inner, this.#logits)
      const { token, probability } = topProbability(this.#logits)
      const survival = survivalOf(calibration, probability)
      guesses.push({ token: this.#tokens?.[token] ?? token, survival })
      chain *= survival
    }
    return guesses
  }
}

/** result = matrix x: as many rows as `result` is long, row-major. */
function multiply(matrix: Float32Array, x: Float32Array, result: Float32Array): void {
  const columns = x.length
  const even = columns - (columns % 4)
  for (let row = 0; row < result.length; row++) {
    const at = row * columns
    // Four sums: one would make every addition wait for the one before.
    let a = 0
    let b = 0
    let c = 0
    let d = 0
    for (let i = 0; i < even; i += 4) {
      a += matrix[at + i]! * x[i]!
      b += matrix[at + i + 1]! * x[i + 1]!
      c += matrix[at + i + 2]! * x[i + 2]!
      d += matrix[at + i + 3]! * x[i + 3]!
    }
    for (let i = even; i < columns; i++) a += matrix[at + i]! * x[i]!
    result[row] = a + b + c + d
  }
}

/** x / rms(x), as an output norm with weights 1 does it. */
function normalised(state: Float32Array): Float32Array {
  let squares = 0
  for (const value of state) squares += value * value
  const scale = 1 / Math.sqrt(squares / state.length + 1e-5)
  return state.map((value) => value * scale)
}

interface HeadsDraft extends Draft {
  readonly acceptances: readonly Acceptance[]
}

/** Heads as a proposer of one sequence. It speaks when the state of the last token but one is known. */
export class HeadsProposer implements Proposer<HeadsDraft> {
  readonly name = 'heads'
  readonly #heads: Heads
  readonly #acceptances: Acceptances
  readonly #kind: string
  readonly #ends: (token: number) => boolean
  #state: { readonly index: number; readonly values: Float32Array } | undefined

  /**
   * @param kind of request, as in `Acceptances`
   * @param ends true for tokens that end a reply: a draft stops before them
   */
  constructor(heads: Heads, acceptances: Acceptances, kind: string, ends: (token: number) => boolean) {
    this.#heads = heads
    this.#acceptances = acceptances
    this.#kind = kind
    this.#ends = ends
  }

  /** The state of token `index` has left the exit's layer. The latest one counts; it is not copied. */
  see(index: number, values: Float32Array): void {
    this.#state = { index, values }
  }

  propose({ committed }: CommittedText): HeadsDraft | undefined {
    // The row of that token decided the last one; the first head guesses what comes after that.
    if (this.#state?.index !== committed - 2) return undefined
    const guesses = this.#heads.guess(this.#state.values)
    const end = guesses.findIndex(({ token }) => this.#ends(token))
    if (end >= 0) guesses.length = end
    if (guesses.length === 0) return undefined
    const acceptances = guesses.map(({ survival }, head) => this.#acceptance(head, survival))
    return {
      source: 'heads',
      tokens: guesses.map(({ token }) => token),
      confidences: acceptances.map((acceptance) => acceptance.at(0)),
      acceptances,
    }
  }

  learn({ acceptances }: HeadsDraft, offered: number, right: number): void {
    for (let i = 0; i < offered && i <= right; i++) acceptances[i]!.observe(1, i < right ? 1 : 0)
  }

  /** How often guesses of this head that were so sure were right: what the file says, until it was counted here. */
  #acceptance(head: number, survival: number): Acceptance {
    const step = Math.floor(10 * Math.min(survival, 0.99))
    return this.#acceptances.of('heads', this.#kind, (step + 0.5) / 10, `${head} ${step}`)
  }
}
