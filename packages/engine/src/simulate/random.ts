/**
 * Random numbers that a simulation can repeat. A draw is a function of what it is about (seed, request, position), not of
 * what was drawn before: two runs that differ in one option meet the same requests, and the same guesses are right.
 *
 * @returns a number in [0, 1), the same for the same arguments
 */
export function uniform(...about: readonly number[]): number {
  return hash(about) / 2 ** 32
}

/** A token id, the same for the same arguments. */
export function token(...about: readonly number[]): number {
  return hash(about) >>> 1
}

// Murmur3's mixing steps (Appleby, public domain): 32 bits that are as good as independent.
function hash(numbers: readonly number[]): number {
  let value = 0x9747b28c
  for (const number of numbers) {
    let part = Math.imul(number, 0xcc9e2d51)
    part = (part << 15) | (part >>> 17)
    value ^= Math.imul(part, 0x1b873593)
    value = (value << 13) | (value >>> 19)
    value = (Math.imul(value, 5) + 0xe6546b64) | 0
  }
  value ^= value >>> 16
  value = Math.imul(value, 0x85ebca6b)
  value ^= value >>> 13
  value = Math.imul(value, 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

/** Exponentially distributed with this mean, from a uniform number. */
export function exponential(u: number, mean: number): number {
  return -mean * Math.log1p(-u)
}

/** Standard normal, from two uniform numbers (Box and Muller 1958). */
export function normal(u: number, v: number): number {
  return Math.sqrt(-2 * Math.log1p(-u)) * Math.cos(2 * Math.PI * v)
}
