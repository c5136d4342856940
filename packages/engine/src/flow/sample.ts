import type { Sampling } from '../request.ts'

/**
 * Token choice as a pure function of (logits, sampling, position). There is no generator state to carry along or to
 * rewind: speculation, rollback and batching may ask for any position in any order, and the seed still gives the same
 * text. All functions read one row of logits (`Float32Array`, one entry per vocabulary token).
 *
 * Logits that are not finite have a defined meaning everywhere in this file: NaN and -Infinity are never chosen and
 * have probability 0; +Infinity outweighs every finite logit (several of them share the probability equally). A row
 * without any eligible token gives token 0 with probability 0.
 */

/** A token and its softmax probability at temperature 1. */
export interface TokenProbability {
  token: number
  /** 0..1. */
  probability: number
}

/**
 * The token for this position.
 *
 * Temperature 0 (or below): the largest logit, ties to the lowest id. Otherwise the filters run in the usual order of
 * llama.cpp, each on what the one before it kept: top-k, top-p (probabilities at temperature 1, renormalised over the
 * top-k), min-p (relative to the best token), and temperature last. Ties rank by id, the lower first, and the best
 * token always survives. Of the kept tokens, Gumbel-max takes
 * `argmax(logit / temperature + g(seed, position, token))` with `g = -ln(-ln u)`, which is distributed as the softmax
 * of the kept logits (Maddison, Tarlow and Minka 2014, "A* Sampling", section 2).
 *
 * @param position index in the sequence of the token to choose, prompt included; any integer from 0
 */
export function choose(logits: Float32Array, sampling: Sampling, position: number): number {
  const { temperature, topK, topP, minP } = sampling
  const best = argmax(logits)
  if (!(temperature > 0) || best < 0) return Math.max(best, 0)
  const max = logits[best]!
  // p >= minP * p(best) without a softmax. The choice starts from the best token, which so stays even at minP above 1.
  const floor = minP > 0 ? Math.log(minP) : Number.NEGATIVE_INFINITY
  const noise = noiseKey(sampling.seed, position)
  const cutsK = topK > 0 && topK < logits.length
  const candidates = { selected: cutsK || topP < 1, first: 0, end: logits.length }
  if (cutsK) candidates.end = selectBest(logits, Math.floor(topK) || 1)
  if (topP < 1) {
    const total = cutsK ? weightOfSelected(logits, max, candidates.end) : softmaxOf(logits).sum
    if (!cutsK) candidates.end = gatherNucleus(logits, max, total, topP)
    candidates.first = takeNucleus(logits, max, candidates.end, topP * total, floor)
  }
  return gumbelMax(logits, best, candidates, floor, temperature, noise)
}

/** The most probable token (ties: the lowest id) and its softmax probability. One pass, stable for any magnitude. */
export function topProbability(logits: Float32Array): TokenProbability {
  const { token, sum } = softmaxOf(logits)
  return token < 0 ? { token: 0, probability: 0 } : { token, probability: 1 / sum }
}

/** Difference of the two largest logits, 0 for a tie; Infinity when fewer than two tokens are eligible. */
export function topTwoGap(logits: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY
  let second = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logits.length; i++) {
    const l = logits[i]!
    if (l > best) {
      second = best
      best = l
    } else if (l > second) second = l
  }
  return difference(best, second)
}

/**
 * The k most probable tokens, best first (ties: the lowest id first), with their softmax probabilities over the whole
 * vocabulary. Shorter than k when fewer tokens are eligible.
 */
export function topK(logits: Float32Array, k: number): TokenProbability[] {
  const { token, max, sum } = softmaxOf(logits)
  if (token < 0 || k < 1) return []
  const count = selectBest(logits, Math.floor(k))
  const result: TokenProbability[] = []
  for (let i = 0; i < count; i++) result.push({ token: selected[i]!, probability: 0 })
  result.sort((a, b) => (outranks(logits, a.token, b.token) ? -1 : 1))
  for (const entry of result) entry.probability = Math.exp(-difference(max, logits[entry.token]!)) / sum
  return result
}

/** Whether a token has at least `share` of the best one's probability. */
export function isTypical(logits: Float32Array, token: number, share: number): boolean {
  const best = argmax(logits)
  return best >= 0 && logits[token]! - logits[best]! >= Math.log(share)
}

/** Softmax probability of one token; 0 for an id outside the vocabulary. */
export function probabilityOf(logits: Float32Array, token: number): number {
  const logit = logits[token]
  if (logit === undefined || !(logit > Number.NEGATIVE_INFINITY)) return 0
  const { max, sum } = softmaxOf(logits)
  return Math.exp(-difference(max, logit)) / sum
}

// ---- softmax ----

/** `high - low` for high >= low, where two equal infinities are 0 apart and not NaN. */
function difference(high: number, low: number): number {
  if (high !== low) return high - low
  return high === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : 0
}

/** Largest logit (lowest id on ties); -1 when no token is eligible. */
function argmax(logits: Float32Array): number {
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

/**
 * Best token, its logit, and the sum of exp(logit - max), rescaled whenever a new maximum appears (Milakov and
 * Gimelshein 2018, "Online normalizer calculation for softmax").
 */
function softmaxOf(logits: Float32Array): { token: number; max: number; sum: number } {
  let token = -1
  let max = Number.NEGATIVE_INFINITY
  let sum = 0
  for (let i = 0; i < logits.length; i++) {
    const l = logits[i]!
    if (l > max) {
      sum = sum * Math.exp(max - l) + 1
      max = l
      token = i
    } else if (l > Number.NEGATIVE_INFINITY) sum += l === max ? 1 : Math.exp(l - max)
  }
  return { token, max, sum }
}

// ---- selection ----

// Ids under selection, shared by all calls: these functions never yield, and a fresh array per token would be a
// megabyte of garbage for a large vocabulary.
let selected = new Int32Array(0)

function reserve(size: number): void {
  if (selected.length < size) selected = new Int32Array(size)
}

/** Rank order: the larger logit first, then the lower id. */
function outranks(logits: Float32Array, a: number, b: number): boolean {
  const la = logits[a]!
  const lb = logits[b]!
  return la > lb || (la === lb && a < b)
}

/** Restores the heap order of `selected[0..size)` below `at`; the best or the worst token is at the root. */
function siftDown(logits: Float32Array, root: 'best' | 'worst', at: number, size: number): void {
  const bestFirst = root === 'best'
  const moving = selected[at]!
  for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && outranks(logits, selected[child + 1]!, selected[child]!) === bestFirst) child++
    if (outranks(logits, selected[child]!, moving) !== bestFirst) break
    selected[at] = selected[child]!
    at = child
  }
  selected[at] = moving
}

function heapify(logits: Float32Array, root: 'best' | 'worst', size: number): void {
  for (let at = (size >> 1) - 1; at >= 0; at--) siftDown(logits, root, at, size)
}

/** Puts the k best eligible tokens, unordered, into `selected`; returns how many there are. */
function selectBest(logits: Float32Array, k: number): number {
  const capacity = Math.min(k, logits.length)
  reserve(capacity)
  let size = 0
  let token = 0
  for (; token < logits.length && size < capacity; token++) {
    if (logits[token]! > Number.NEGATIVE_INFINITY) selected[size++] = token
  }
  heapify(logits, 'worst', size)
  if (size === 0) return 0
  // Ids rise, so an equal logit never outranks the worst one kept: a strict comparison keeps the lower ids.
  let worst = logits[selected[0]!]!
  for (; token < logits.length; token++) {
    if (logits[token]! > worst) {
      selected[0] = token
      siftDown(logits, 'worst', 0, size)
      worst = logits[selected[0]!]!
    }
  }
  return size
}

function weightOfSelected(logits: Float32Array, max: number, size: number): number {
  let sum = 0
  for (let i = 0; i < size; i++) sum += Math.exp(-difference(max, logits[selected[i]!]!))
  return sum
}

/**
 * Puts every token that can belong to the nucleus into `selected`. All tokens under (1 - topP) / n together hold less
 * than 1 - topP, so the others hold at least topP; half of that bound leaves room for rounding.
 */
function gatherNucleus(logits: Float32Array, max: number, total: number, topP: number): number {
  reserve(logits.length)
  const bound = Math.log(((1 - Math.max(topP, 0)) * total) / (2 * logits.length))
  let size = 0
  for (let token = 0; token < logits.length; token++) {
    const l = logits[token]!
    if (l === max || l - max >= bound) selected[size++] = token
  }
  return size
}

/**
 * Of `selected[0..size)`, keeps the best tokens until their weight reaches `enough` or the next falls under the min-p
 * floor. The kept ones end up in `selected[result..size)`: only as many heap steps as tokens kept, never a full sort.
 */
function takeNucleus(logits: Float32Array, max: number, size: number, enough: number, floor: number): number {
  heapify(logits, 'best', size)
  let weight = 0
  let first = size
  while (first > 0) {
    const token = selected[0]!
    const drop = -difference(max, logits[token]!)
    if (drop < floor) break
    weight += Math.exp(drop)
    first--
    selected[0] = selected[first]!
    selected[first] = token
    siftDown(logits, 'best', 0, first)
    if (weight >= enough) break
  }
  return first
}

// ---- Gumbel-max ----

/** 64 bits that stand for (seed, position). */
interface NoiseKey {
  low: number
  high: number
}

/** A bijection of 32 bits with good avalanche: "lowbias32" of Wellons' hash-prospector, improved constants. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return x ^ (x >>> 15)
}

function noiseKey(seed: number, position: number): NoiseKey {
  // Seeds are integers up to 2^53: both halves count.
  const seedLow = mix((seed | 0) ^ 0x9e3779b9)
  const seedHigh = mix(Math.floor(seed / 0x1_0000_0000) + seedLow)
  const low = mix(mix(position + seedLow) ^ seedHigh)
  return { low, high: mix(mix((position ^ seedHigh) + 0x6a09e667) + low) }
}

/** Upper 32 bits of u for this token. Two keyed rounds: neighbouring ids, positions and seeds are unrelated. */
function upperBits(key: NoiseKey, token: number): number {
  return mix(mix(token + key.low) ^ key.high) >>> 0
}

/** g = -ln(-ln u) with u = (52 random bits + 1/2) / 2^52: representable, and never 0 or 1. */
function gumbel(key: NoiseKey, token: number, upper: number): number {
  const lower = mix(mix((token ^ key.high) + 0x3c6ef372) + key.low) >>> 12
  return -Math.log(-Math.log((upper * 0x10_0000 + lower + 0.5) * 2 ** -52))
}

// g is below 36.8 for the largest u, 1 - 2^-53.
const LARGEST_GUMBEL = 36.8

/**
 * Whether a token at scaled logit `x` can still beat `score`; settles nearly every token without a logarithm.
 * g <= -ln(1 - u), and with c leading one bits in `upper`, 1 - u > 2^-(c+1): so g < (c + 1) ln 2.
 */
function canBeat(score: number, x: number, upper: number): boolean {
  const ones = Math.clz32(~upper)
  return ones === 32 || x + (ones + 1) * Math.LN2 > score
}

/** Gumbel-max over `selected[first..end)`, or over all tokens from `first` to `end`, without those under the floor. */
function gumbelMax(
  logits: Float32Array,
  best: number,
  candidates: { selected: boolean; first: number; end: number },
  floor: number,
  temperature: number,
  key: NoiseKey,
): number {
  const max = logits[best]!
  const ids = candidates.selected ? selected : undefined
  let choice = best
  // Starting from the best token makes the bound tight from the first comparison on.
  let score = gumbel(key, best, upperBits(key, best))
  for (let i = candidates.first; i < candidates.end; i++) {
    const token = ids === undefined ? i : ids[i]!
    const l = logits[token]!
    const drop = l === max ? 0 : l - max
    const x = drop / temperature
    // Written so that NaN and -Infinity fail.
    if (!(x + LARGEST_GUMBEL > score) || drop < floor) continue
    const upper = upperBits(key, token)
    if (!canBeat(score, x, upper)) continue
    const value = x + gumbel(key, token, upper)
    if (value > score) {
      score = value
      choice = token
    }
  }
  return choice
}
