import { Neighbours } from './neighbours.ts'

/** Tokens of a reply's beginning that are remembered. */
export const maxBeginning = 4
/** Stands for whatever token ends a reply. */
export const end = -1
// How many earlier prompts vote: 5 and 30 are a little worse on Spec-Bench and HumanEval.
const mostVoters = 15
/** From this similarity on an earlier prompt is the same one but for a word. */
const sameSimilarity = 0.98
// The trie votes like the most similar prompt. So does ignorance, against all, or few voters would look unanimous.
const trieWeight = 1
const ignorance = 1

/** How a reply began: four tokens, or fewer and `end`. Fewer without `end` are of a reply that was cut short. */
export type Beginning = readonly number[]

/** The earlier prompts that vote on how a reply begins. */
export interface Electorate {
  /** Weight 0 to 1. */
  readonly voters: readonly { readonly beginning: Beginning; readonly weight: number }[]
  /** They are this very prompt. Then nobody else is asked. */
  readonly same: boolean
}

export interface Vote {
  readonly token: number
  /** Its share of the votes, 0 to 1. */
  readonly share: number
}

/** Beginnings, counted token by token. */
class Trie {
  count = 0
  readonly children = new Map<number, Trie>()

  /** Counts a beginning (1), or forgets one that was counted (-1). */
  add(beginning: Beginning, change: 1 | -1): void {
    this.count += change
    let node: Trie = this
    for (const token of beginning) {
      let child = node.children.get(token)
      if (child === undefined) {
        child = new Trie()
        node.children.set(token, child)
      }
      child.count += change
      if (child.count === 0) node.children.delete(token)
      node = child
    }
  }

  /** The most frequent next token. */
  usual(): number | undefined {
    let usual: number | undefined
    let most = 0
    for (const [token, { count }] of this.children) {
      if (count <= most) continue
      most = count
      usual = token
    }
    return usual
  }
}

/** How the replies to earlier prompts began. What is usual is counted in a trie; the prompts most like a new one vote. */
export class Beginnings {
  readonly #neighbours: Neighbours
  readonly #bySlot: Beginning[] = []
  readonly #trie = new Trie()

  /** @param capacity most prompts that are remembered; the oldest one goes first */
  constructor(capacity: number) {
    this.#neighbours = new Neighbours(capacity)
  }

  /** Number of prompts. */
  get size(): number {
    return this.#neighbours.size
  }

  /** The reply to this prompt began like this. */
  add(prompt: readonly number[], beginning: Beginning): void {
    const slot = this.#neighbours.add(prompt)
    const forgotten = this.#bySlot[slot]
    if (forgotten) this.#trie.add(forgotten, -1)
    this.#bySlot[slot] = beginning
    this.#trie.add(beginning, 1)
  }

  /** Who votes on the reply to this prompt. */
  electorate(prompt: readonly number[]): Electorate {
    const near = this.#neighbours.nearest(prompt, mostVoters)
    const nearest = near[0]?.similarity ?? 0
    const same = nearest >= sameSimilarity
    const voters = near
      .filter(({ similarity }) => !same || similarity >= sameSimilarity)
      .map(({ slot, similarity }) => ({ beginning: this.#bySlot[slot]!, weight: similarity / nearest }))
    return { voters, same }
  }

  /** How a reply goes on that began with `path`: token by token, each voted by those who were for the ones before it. */
  vote({ voters, same }: Electorate, path: readonly number[]): Vote[] {
    const votes: Vote[] = []
    let node: Trie | undefined = this.#trie
    for (const token of path) node = node?.children.get(token)
    let voting = voters.filter(({ beginning }) => path.every((token, i) => beginning[i] === token))
    for (let depth = path.length; depth < maxBeginning && node; depth++) {
      const sums = new Map<number, number>()
      const add = (token: number, weight: number) => sums.set(token, (sums.get(token) ?? 0) + weight)
      for (const { beginning, weight } of voting) {
        const token = beginning[depth]
        if (token !== undefined) add(token, weight)
      }
      let all = same ? 0 : ignorance
      for (const sum of sums.values()) all += sum
      if (!same) {
        const usual = node.usual()
        if (usual !== undefined) add(usual, 0)
        for (const token of sums.keys()) add(token, (trieWeight * (node.children.get(token)?.count ?? 0)) / node.count)
        all += trieWeight
      }
      const vote = mostVoted(sums, all)
      if (vote === undefined || vote.token === end) break
      votes.push(vote)
      voting = voting.filter(({ beginning }) => beginning[depth] === vote.token)
      node = node.children.get(vote.token)
    }
    return votes
  }
}

function mostVoted(sums: ReadonlyMap<number, number>, all: number): Vote | undefined {
  let best: Vote | undefined
  for (const [token, sum] of sums) if (sum / all > (best?.share ?? 0)) best = { token, share: sum / all }
  return best
}
