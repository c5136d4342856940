import type { Sampling } from '../../api/request.ts'
import { blockBits, mostOfBlock, type NoiseKey, noiseKey, noiseOf } from './noise.ts'
import { argmax, difference, nucleusOf, softmaxOf } from './softmax.ts'

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
 * `argmax(logit / temperature + g(seed, position, token))` with Gumbel noise g (noise.ts), which is distributed as the
 * softmax of the kept logits (Maddison, Tarlow and Minka 2014, "A* Sampling", section 2).
 *
 * @param position index in the sequence of the token to choose, prompt included; any integer from 0
 */
export function choose(logits: Float32Array, sampling: Sampling, position: number): number {
  const { temperature, topK, topP, minP } = sampling
  if (!(temperature > 0)) return Math.max(argmax(logits), 0)
  // p >= minP * p(best) without a softmax. The choice starts from the best token, which so stays even at minP above 1.
  const floor = minP > 0 ? Math.log(minP) : Number.NEGATIVE_INFINITY
  const noise = noiseKey(sampling.seed, position)
  const cutsK = topK > 0 && topK < logits.length
  if (!cutsK && !(topP < 1)) return ofAll(logits, floor, temperature, noise)
  const best = argmax(logits)
  if (best < 0) return 0
  const max = logits[best]!
  const candidates = { first: 0, end: cutsK ? selectBest(logits, Math.floor(topK) || 1) : 0 }
  if (topP < 1) {
    let enough: number
    if (cutsK) enough = topP * weightOfSelected(logits, max, candidates.end)
    else {
      const { within, sum } = nucleusOf(logits, max, topP)
      enough = topP * sum
      candidates.end = selectWithin(logits, max, within)
    }
    candidates.first = takeNucleus(logits, max, candidates.end, enough, floor)
  }
  return ofSelected(logits, best, candidates, floor, temperature, noise)
}

/** The most probable token (ties: the lowest id) and its softmax probability. One pass, stable for any magnitude. */
export function topProbability(logits: Float32Array): TokenProbability {
  const { token, sum } = softmaxOf(logits)
  return token < 0 ? { token: 0, probability: 0 } : { token, probability: 1 / sum }
}

/**
 * The k most probable tokens, best first (ties: the lowest id first), with their softmax probabilities over the whole
 * vocabulary. Shorter than k when fewer tokens are eligible.
 */
export function topK(logits: Float32Array, k: number): TokenProbability[] {
  if (k < 1) return []
  const { token, max, sum } = softmaxOf(logits)
  if (token < 0) return []
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

/** Puts every token whose logit is at most `within` below the best into `selected`; returns how many there are. */
function selectWithin(logits: Float32Array, max: number, within: number): number {
  reserve(logits.length)
  let size = 0
  for (let token = 0; token < logits.length; token++) {
    const l = logits[token]!
    if (l === max || max - l <= within) selected[size++] = token
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

/** Gumbel-max over these tokens, without those under the floor; the best token is among the choices in any case. */
function ofSelected(
  logits: Float32Array,
  best: number,
  { first, end }: { first: number; end: number },
  floor: number,
  temperature: number,
  key: NoiseKey,
): number {
  const max = logits[best]!
  let choice = best
  let score = noiseOf(key, best)
  for (let i = first; i < end; i++) {
    const token = selected[i]!
    const drop = -difference(max, logits[token]!)
    if (drop < floor) continue
    const value = drop / temperature + noiseOf(key, token)
    if (value > score) {
      score = value
      choice = token
    }
  }
  return choice
}

// Largest logit of each block of the row that is looked at.
let blockMaxima = new Float32Array(0)

/** Gumbel-max over all tokens that are not under the floor. Only blocks that can still win are looked into. */
function ofAll(logits: Float32Array, floor: number, temperature: number, key: NoiseKey): number {
  const size = 1 << blockBits
  const blocks = Math.ceil(logits.length / size)
  if (blockMaxima.length < blocks) blockMaxima = new Float32Array(blocks)
  let max = Number.NEGATIVE_INFINITY
  let best = -1
  for (let block = 0; block < blocks; block++) {
    let most = Number.NEGATIVE_INFINITY
    let at = -1
    const end = Math.min((block + 1) * size, logits.length)
    for (let i = block * size; i < end; i++) {
      const l = logits[i]!
      if (l > most) {
        most = l
        at = i
      }
    }
    blockMaxima[block] = most
    if (most > max) {
      max = most
      best = at
    }
  }
  if (best < 0) return 0
  let choice = best
  let score = noiseOf(key, best)
  for (let block = 0; block < blocks; block++) {
    const drop = -difference(max, blockMaxima[block]!)
    // Written so that NaN and -Infinity fail.
    if (!(drop / temperature + maxNoise > score) || drop < floor) continue
    if (drop / temperature + mostOfBlock(key, block) <= score) continue
    const end = Math.min((block + 1) * size, logits.length)
    for (let token = block * size; token < end; token++) {
      const l = logits[token]!
      const own = l === max ? 0 : l - max
      if (!(own / temperature + maxNoise > score) || own < floor) continue
      const value = own / temperature + noiseOf(key, token)
      if (value > score) {
        score = value
        choice = token
      }
    }
  }
  return choice
}

// -ln t is below 40.3 for the shortest time, 2^-53 / 32.
const maxNoise = 40.3
