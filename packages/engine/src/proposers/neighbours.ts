/*
 * Which earlier prompts are like this one: cosine similarity of their pairs of adjacent tokens, weighted by how rare a
 * pair is (TF-IDF; Salton and Buckley 1988), through an inverted index in flat arrays.
 */

/** What is asked for stands at the beginning of a prompt or at its end: this many tokens of each are read. */
const windowTokens = 64
const mostFeatures = 2 * windowTokens
// A pair that half of all prompts have tells nothing about one of them: a template puts such pairs into every prompt.
const fewestForFrequency = 32
const none = -1

export interface Neighbour {
  /** Number that `add` returned for it. */
  readonly slot: number
  /** 0 to 1; 1 for the same pairs. */
  readonly similarity: number
}

/** The last `capacity` prompts. Each takes about 2 kB. Asking and adding take some ten microseconds. */
export class Neighbours {
  readonly #capacity: number
  /** Prompts ever added: prompt n lies in slot n % capacity. */
  #added = 0
  // Per slot: number of features, and the length of its weighted vector when it was added.
  #counts = new Int32Array(0)
  #norms = new Float64Array(0)
  // Per node (slot * mostFeatures + i): a feature, and the next node of its chain, which is the next younger one.
  #features = new Int32Array(0)
  #next = new Int32Array(0)
  // Per chain, which is all features with the same lowest bits: its ends and its length.
  #heads = new Int32Array(0)
  #tails = new Int32Array(0)
  #sizes = new Int32Array(0)
  // Scratch: the features of one prompt, a score per slot, the slots with a score.
  readonly #read = new Int32Array(mostFeatures)
  #scores = new Float64Array(0)
  #found = new Int32Array(0)

  /** @param capacity most prompts that are remembered: then each new one replaces the oldest */
  constructor(capacity: number) {
    this.#capacity = capacity
    this.#grow(Math.min(capacity, 16))
  }

  /** Number of prompts it holds. */
  get size(): number {
    return Math.min(this.#added, this.#capacity)
  }

  /** Takes a prompt in and returns its slot, from 0 to `capacity` - 1. What lay there before is forgotten. */
  add(tokens: readonly number[]): number {
    const slot = this.#added % this.#capacity
    if (this.#added >= this.#capacity) this.#forget(slot)
    else if (slot === this.#counts.length) this.#grow(Math.min(this.#capacity, 2 * slot))
    this.#added++
    const count = this.#readFeatures(tokens)
    let squares = 0
    for (let i = 0; i < count; i++) {
      const chain = this.#append(slot * mostFeatures + i, this.#read[i]!)
      squares += this.#weight(this.#sizes[chain]!) ** 2
    }
    this.#counts[slot] = count
    this.#norms[slot] = Math.sqrt(squares)
    return slot
  }

  /** The most similar prompts, best first; none that has nothing in common with this one. */
  nearest(tokens: readonly number[], most: number): Neighbour[] {
    const count = this.#readFeatures(tokens)
    let squares = 0
    let touched = 0
    for (let i = 0; i < count; i++) {
      const feature = this.#read[i]!
      const chain = feature & (this.#heads.length - 1)
      const weight = this.#weight(this.#sizes[chain]!) ** 2
      squares += weight
      if (weight === 0) continue
      for (let node = this.#heads[chain]!; node !== none; node = this.#next[node]!) {
        if (this.#features[node] !== feature) continue
        const slot = Math.floor(node / mostFeatures)
        if (this.#scores[slot] === 0) this.#found[touched++] = slot
        this.#scores[slot]! += weight
      }
    }
    const best: Neighbour[] = []
    const norm = Math.sqrt(squares)
    for (let i = 0; i < touched; i++) {
      const slot = this.#found[i]!
      const similarity = Math.min(1, this.#scores[slot]! / (norm * this.#norms[slot]!))
      this.#scores[slot] = 0
      if (best.length === most && best.at(-1)!.similarity > similarity) continue
      const place = best.findIndex((other) => other.similarity <= similarity)
      best.splice(place < 0 ? best.length : place, 0, { slot, similarity })
      if (best.length > most) best.pop()
    }
    return best
  }

  /** What a feature tells that `having` of all prompts have. */
  #weight(having: number): number {
    if (2 * having > this.size && this.size >= fewestForFrequency) return 0
    return Math.log(1 + this.size / (1 + having))
  }

  /** Puts the different pairs of a prompt into `#read`, and returns how many there are. */
  #readFeatures(tokens: readonly number[]): number {
    const end = tokens.length
    let count = 0
    for (let i = 1; i < end; i++) {
      if (i === windowTokens && end > mostFeatures) i = end - windowTokens + 1
      this.#read[count++] = hash(tokens[i - 1]!, tokens[i]!)
    }
    const sorted = this.#read.subarray(0, count).sort()
    let unique = 0
    for (let i = 0; i < count; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) sorted[unique++] = sorted[i]!
    return unique
  }

  /** Adds a node at the young end of its feature's chain, which it returns. */
  #append(node: number, feature: number): number {
    const chain = feature & (this.#heads.length - 1)
    this.#features[node] = feature
    this.#next[node] = none
    if (this.#sizes[chain]!++ === 0) this.#heads[chain] = node
    else this.#next[this.#tails[chain]!] = node
    this.#tails[chain] = node
    return chain
  }

  /** Removes the oldest prompt: its nodes are the heads of their chains. */
  #forget(slot: number): void {
    for (let node = slot * mostFeatures; node < slot * mostFeatures + this.#counts[slot]!; node++) {
      const chain = this.#features[node]! & (this.#heads.length - 1)
      this.#heads[chain] = this.#next[node]!
      this.#sizes[chain]!--
    }
  }

  /** Room for more slots; only before the first one is used again. */
  #grow(slots: number): void {
    this.#counts = grown(this.#counts, slots)
    const norms = new Float64Array(slots)
    norms.set(this.#norms)
    this.#norms = norms
    this.#features = grown(this.#features, slots * mostFeatures)
    this.#next = new Int32Array(slots * mostFeatures)
    this.#scores = new Float64Array(slots)
    this.#found = new Int32Array(slots)
    // Chains of a few features each.
    const chains = 2 ** Math.ceil(Math.log2(slots * windowTokens))
    this.#heads = new Int32Array(chains).fill(none)
    this.#tails = new Int32Array(chains)
    this.#sizes = new Int32Array(chains)
    for (let slot = 0; slot < this.#added; slot++) {
      for (let i = 0; i < this.#counts[slot]!; i++) {
        this.#append(slot * mostFeatures + i, this.#features[slot * mostFeatures + i]!)
      }
    }
  }
}

function hash(a: number, b: number): number {
  const mixed = Math.imul(Math.imul(a, 0x9e3779b1) ^ (b + 0x7f4a7c15), 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}

function grown(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length)
  larger.set(array)
  return larger
}
