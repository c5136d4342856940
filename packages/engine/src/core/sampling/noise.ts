/**
 * The noise of Gumbel-max sampling: one number per (seed, position, token), independent of each other and the same
 * whenever they are asked for.
 *
 * A token's noise is -ln t with an exponential waiting time t. Times come in blocks of 32 tokens: the shortest of 32 is
 * itself exponential, with rate 32, and the others are that much and another exponential longer (they have no memory). So
 * one number says the most that a whole block can have.
 */

/** 64 bits that stand for (seed, position). */
export interface NoiseKey {
  readonly low: number
  readonly high: number
}

/** Tokens of a block: ids with the same `id >> blockBits`. */
export const blockBits = 5
const blockSize = 1 << blockBits

/** A bijection of 32 bits with good avalanche: "lowbias32" of Wellons' hash-prospector, improved constants. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return x ^ (x >>> 15)
}

/** @param seed any integer up to 2^53 either way @param position index of the token in its sequence */
export function noiseKey(seed: number, position: number): NoiseKey {
  const seedLow = mix((seed | 0) ^ 0x9e3779b9)
  const seedHigh = mix(Math.floor(seed / 0x1_0000_0000) + seedLow)
  const low = mix(mix(position + seedLow) ^ seedHigh)
  return { low, high: mix(mix((position ^ seedHigh) + 0x6a09e667) + low) }
}

/** Noise of a token. */
export function noiseOf(key: NoiseKey, token: number): number {
  const block = token >> blockBits
  const first = exponential(key, block, 0) / blockSize
  const winner = mix(mix((block ^ key.low) + 0x1f83d9ab) ^ key.high) & (blockSize - 1)
  const time = (token & (blockSize - 1)) === winner ? first : first + exponential(key, token, 0x5be0cd19)
  return -Math.log(time)
}

/**
 * More than any token of the block has, without a logarithm: a time -ln u is at least 1 - u, which is above 2^-(c + 1) when
 * u begins with c ones.
 */
export function mostOfBlock(key: NoiseKey, block: number): number {
  const ones = Math.clz32(~upperBits(key, block, 0))
  return (ones === 32 ? 53 + blockBits : ones + 1 + blockBits) * Math.LN2
}

/**
 * An exponential time -ln u with u = (52 random bits + 1/2) / 2^52: representable, and never 0 or 1. Two keyed rounds:
 * neighbouring ids, positions and seeds are unrelated.
 */
function exponential(key: NoiseKey, id: number, stream: number): number {
  const upper = upperBits(key, id, stream) >>> 0
  const lower = mix(mix((id ^ key.high) + 0x3c6ef372 + stream) + key.low) >>> 12
  return -Math.log((upper * 0x10_0000 + lower + 0.5) * 2 ** -52)
}

function upperBits(key: NoiseKey, id: number, stream: number): number {
  return mix(mix(id + key.low + stream) ^ key.high)
}
