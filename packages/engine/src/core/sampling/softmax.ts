/*
 * One row of logits as weights exp(logit - max): what sampling and confidences are made of. NaN and -Infinity have weight
 * 0; of several logits +Infinity each has 1.
 */

/** Largest logit (lowest id on ties); -1 when no token is eligible. */
export function argmax(logits: Float32Array): number {
  let token = -1
  let max = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! > max) {
      max = logits[i]!
      token = i
    }
  }
  return token
}

/** `high - low` for high >= low, where two equal infinities are 0 apart and not NaN. */
export function difference(high: number, low: number): number {
  if (high !== low) return high - low
  return high === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : 0
}

// A row has tens of thousands of logits, and an exponential is the dearest thing done to each: it is taken from a table in
// steps of 1/256 and four terms of its series between them, to 1e-11 of itself.
const steps = 256
// exp(-48) is 1e-21: a million of such tokens together are not seen beside the best one.
const reach = 48
const table = Float64Array.from({ length: steps * reach }, (_, i) => Math.exp(-i / steps))

/** exp(-drop); 0 where that is next to nothing, and for NaN. */
function weight(drop: number): number {
  if (!(drop < reach)) return 0
  const step = (drop * steps) | 0
  const rest = drop - step / steps
  return table[step]! * (1 - rest * (1 - rest * (0.5 - rest / 6)))
}

/** Best token (see `argmax`), its logit, and the sum of all weights. */
export function softmaxOf(logits: Float32Array): { token: number; max: number; sum: number } {
  const token = argmax(logits)
  if (token < 0) return { token, max: Number.NEGATIVE_INFINITY, sum: 0 }
  const max = logits[token]!
  let sum = 0
  for (let i = 0; i < logits.length; i++) {
    const l = logits[i]!
    sum += l === max ? 1 : weight(max - l)
  }
  return { token, max, sum }
}

// Weights are counted by their distance from the best, in steps of 1/8.
const binsPerUnit = 8
const bins = new Float64Array(reach * binsPerUnit)

/**
 * Where the nucleus ends, roughly: all tokens whose logit is at most `within` below the best have together at least the
 * share `topP`, and hardly more are needed. `sum`: of all weights.
 */
export function nucleusOf(logits: Float32Array, max: number, topP: number): { within: number; sum: number } {
  bins.fill(0)
  for (let i = 0; i < logits.length; i++) {
    const l = logits[i]!
    const drop = l === max ? 0 : max - l
    // Written so that NaN fails.
    if (drop < reach) bins[(drop * binsPerUnit) | 0]! += weight(drop)
  }
  const sum = bins.reduce((total, one) => total + one, 0)
  // Sums taken in another order differ in their last digits.
  const enough = topP * sum * (1 + 1e-12)
  let last = 0
  for (let total = bins[0]!; total < enough && last < bins.length - 1; total += bins[last]!) last++
  return { within: (last + 1) / binsPerUnit, sum }
}
