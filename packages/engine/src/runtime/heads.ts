import type { HeadGuess } from '../core/executor.ts'
import { survivalOf } from '../core/sampling/calibration.ts'
import { topProbability } from '../core/sampling/sample.ts'
import type { Head, HeadsFile } from './load/heads-file.ts'

// A head costs a part of a step, and is for nothing when a guess before it is wrong: it is asked only while the chain
// before it holds with this probability.
const minSurvival = 0.2

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
