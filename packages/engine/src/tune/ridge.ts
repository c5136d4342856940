/**
 * Ridge regression from many streamed rows: minimises |X A - Y|^2 + lambda |A|^2 over the d x d map A. Only the normal
 * equations are kept, so memory does not grow with the number of rows.
 */
export class Ridge {
  readonly #width: number
  readonly #xx: Float64Array
  readonly #xy: Float64Array
  #weight = 0

  /** @param width d, the width of inputs and targets */
  constructor(width: number) {
    this.#width = width
    this.#xx = new Float64Array(width * width)
    this.#xy = new Float64Array(width * width)
  }

  /** Adds one row: input x and target y, `width` values each, counted `weight` times. */
  add(x: Float32Array, y: Float32Array, weight = 1): void {
    const d = this.#width
    this.#weight += weight
    for (let i = 0; i < d; i++) {
      const xi = x[i]! * weight
      const row = i * d
      for (let j = 0; j <= i; j++) this.#xx[row + j]! += xi * x[j]!
      for (let j = 0; j < d; j++) this.#xy[row + j]! += xi * y[j]!
    }
  }

  /**
   * A as a row-major d x d matrix, y = x A: the Cholesky solution of (X'X + lambda n s I) A = X'Y, where s is the mean
   * square of the inputs, so that lambda has no unit.
   */
  solve(lambda: number): Float64Array {
    const d = this.#width
    const l = Float64Array.from(this.#xx)
    let trace = 0
    for (let i = 0; i < d; i++) trace += l[i * d + i]!
    const ridge = lambda * (trace / d) + 1e-9 * this.#weight
    for (let i = 0; i < d; i++) l[i * d + i]! += ridge
    for (let j = 0; j < d; j++) {
      for (let k = 0; k < j; k++) {
        const ljk = l[j * d + k]!
        if (ljk !== 0) for (let i = j; i < d; i++) l[i * d + j]! -= l[i * d + k]! * ljk
      }
      const root = Math.sqrt(l[j * d + j]!)
      for (let i = j; i < d; i++) l[i * d + j]! /= root
    }
    const a = Float64Array.from(this.#xy)
    for (let i = 0; i < d; i++) {
      for (let k = 0; k < i; k++) axpy(a, i * d, a, k * d, -l[i * d + k]!, d)
      scale(a, i * d, 1 / l[i * d + i]!, d)
    }
    for (let i = d - 1; i >= 0; i--) {
      for (let k = i + 1; k < d; k++) axpy(a, i * d, a, k * d, -l[k * d + i]!, d)
      scale(a, i * d, 1 / l[i * d + i]!, d)
    }
    return a
  }
}

function axpy(y: Float64Array, yAt: number, x: Float64Array, xAt: number, factor: number, count: number): void {
  if (factor === 0) return
  for (let i = 0; i < count; i++) y[yAt + i]! += factor * x[xAt + i]!
}

function scale(x: Float64Array, at: number, factor: number, count: number): void {
  for (let i = 0; i < count; i++) x[at + i]! *= factor
}

/**
 * The matrix product of an output matrix W (rows x d, row-major) with A': row r of the result is A W[r], so that
 * (W A') x = W (x A). Written into a new rows x d array.
 */
export function fold(w: Float32Array, a: Float64Array, width: number): Float32Array {
  const rows = w.length / width
  const folded = new Float32Array(w.length)
  const map = Float32Array.from(a)
  for (let r = 0; r < rows; r++) {
    const row = w.subarray(r * width, (r + 1) * width)
    for (let i = 0; i < width; i++) {
      const at = i * width
      let sum = 0
      for (let j = 0; j < width; j++) sum += map[at + j]! * row[j]!
      folded[r * width + i] = sum
    }
  }
  return folded
}
