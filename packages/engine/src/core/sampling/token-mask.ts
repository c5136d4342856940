import type { TokenMask } from '../../api/constraint.ts'

/** The tokens of these, as a mask over a vocabulary. */
export function maskOf(tokens: Iterable<number>, vocabulary: number): TokenMask {
  const mask = new Uint32Array(Math.ceil(vocabulary / 32))
  for (const token of tokens) mask[token >>> 5]! |= 1 << (token & 31)
  return mask
}

/** True when the mask has the token. */
export function allows(mask: TokenMask | undefined, token: number): boolean {
  return mask === undefined || ((mask[token >>> 5] ?? 0) & (1 << (token & 31))) !== 0
}

/**
 * Takes every token that is not allowed out of a row of logits, in place. 3 to 60 microseconds for 49,152 tokens, most
 * where half of them are allowed.
 */
export function maskLogits(logits: Float32Array, mask: TokenMask | undefined): void {
  if (mask === undefined) return
  for (let word = 0; 32 * word < logits.length; word++) {
    const bits = mask[word] ?? 0
    const from = 32 * word
    if (bits === 0) logits.fill(Number.NEGATIVE_INFINITY, from, from + 32)
    else if (bits !== 0xffffffff) {
      const end = Math.min(from + 32, logits.length)
      for (let t = from; t < end; t++) if ((bits & (1 << (t & 31))) === 0) logits[t] = Number.NEGATIVE_INFINITY
    }
  }
}
