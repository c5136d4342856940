import { type Limits, schedule } from './schedule.ts'
import type { Sequence, Step } from './sequence.ts'

/** The KV caches as the core sees them: one per stage. The engine's are llama.cpp contexts, the tests' are simulated. */
export interface Caches {
  /** Drops positions [from, end) of a slot in one stage. */
  remove(stage: number, slot: number, from: number): void
  /** Lets slot `to` share positions [0, end) of slot `from` in one stage. */
  share(stage: number, from: number, to: number, end: number): void
}

/** What became of a decided token. */
export type Verdict = 'confirmed' | 'replaced' | 'extended'

export interface StartOptions {
  /** See `Sequence`. Default: all false. */
  exits?: boolean
  open?: boolean
  background?: boolean
}

/**
 * The pure core: owns all sequences and every change of their state. It says which rows run next (`next`) and is told
 * what came out (`ran`, `aborted`, `decide`). It imports nothing native and nothing from Node.
 */
export class Core {
  readonly stages: number
  readonly slots: number
  readonly #caches: Caches
  readonly #limits: Limits
  readonly #sequences = new Set<Sequence>()
  readonly #free: number[]
  /** Removed while a step was running: a cache must not be touched under a decode, nor a slot be given away. */
  readonly #leaving: Sequence[] = []
  #running = false
  #order = 0

  constructor(options: { stages: number; slots: number; caches: Caches; limits: Limits }) {
    this.stages = options.stages
    this.slots = options.slots
    this.#caches = options.caches
    this.#limits = options.limits
    this.#free = Array.from({ length: options.slots }, (_, i) => options.slots - 1 - i)
  }

  get sequences(): ReadonlySet<Sequence> {
    return this.#sequences
  }

  get freeSlots(): number {
    return this.#free.length
  }

  /** Starts a sequence over a prompt, or returns undefined when all slots are taken. */
  add(prompt: readonly number[], options: StartOptions = {}): Sequence | undefined {
    return this.#start('reply', [...prompt], options)
  }

  /** Starts a sequence over a text that is still being written: background work, without output. */
  open(): Sequence | undefined {
    return this.#start('reply', [], { open: true, background: true })
  }

  /** The open text now is this: what agrees stays computed, the rest is rolled back. */
  revise(sequence: Sequence, tokens: readonly number[]): void {
    const base = commonPrefix(sequence.tokens, tokens)
    this.replace(sequence, base, tokens.slice(base))
  }

  /** A reply is over: its text becomes the beginning of an open one. */
  reopen(sequence: Sequence): void {
    sequence.open = true
    sequence.background = true
    sequence.exits = false
    sequence.limit = Number.POSITIVE_INFINITY
    sequence.prompt = 0
    sequence.committed = 0
    for (const other of this.#sequences) if (other.parent === sequence) this.remove(other)
    this.replace(sequence, sequence.computed.at(-1)!)
  }

  /**
   * Starts a sequence over a prompt that shares what another one has computed of it, as far as the tokens agree. The last
   * row is always left to run: its logits are wanted. Later changes of one are not seen by the other.
   */
  branch(source: Sequence, prompt: readonly number[], options: StartOptions = {}): Sequence | undefined {
    const branch = this.#start('reply', [...prompt], options)
    if (branch === undefined) return undefined
    const agreed = Math.min(commonPrefix(source.tokens, prompt), source.computed.at(-1)!, prompt.length - 1)
    this.#share(source, branch, agreed)
    return branch
  }

  #share(from: Sequence, to: Sequence, end: number): void {
    for (let stage = 0; stage < this.stages && end > 0; stage++) {
      this.#caches.share(stage, from.slot, to.slot, end)
      to.computed[stage] = end
    }
  }

  /**
   * A look ahead: a new sequence that shares the parent's first `at` rows in every stage, followed by `rest`. The rows
   * must have left the last stage. Sharing is safe because they are prompt rows, which a parent never rolls back.
   */
  fork(parent: Sequence, at: number, rest: readonly number[]): Sequence | undefined {
    if (at > parent.computed.at(-1)! || at > parent.committed)
      throw new RangeError('a fork point must be computed and committed')
    const fork = this.#start('fork', [...parent.tokens.slice(0, at), ...rest], {}, parent)
    if (fork !== undefined) this.#share(parent, fork, at)
    return fork
  }

  #start(kind: Sequence['kind'], tokens: number[], options: StartOptions, parent?: Sequence): Sequence | undefined {
    const slot = this.#free.pop()
    if (slot === undefined) return undefined
    const open = options.open ?? false
    const sequence: Sequence = {
      slot,
      order: this.#order++,
      kind,
      ...(parent && { parent }),
      prompt: tokens.length,
      tokens,
      committed: tokens.length,
      computed: new Array<number>(this.stages).fill(0),
      limit: Number.POSITIVE_INFINITY,
      exits: options.exits ?? false,
      open,
      background: options.background ?? false,
    }
    this.#sequences.add(sequence)
    return sequence
  }

  /**
   * Ends a sequence, finished or cancelled, and its forks: all its rows leave every cache. Allowed at any time; under a
   * running step the caches follow when it ends.
   */
  remove(sequence: Sequence): void {
    if (!this.#sequences.delete(sequence)) return
    for (const other of this.#sequences) if (other.parent === sequence) this.remove(other)
    if (this.#running) this.#leaving.push(sequence)
    else this.#release(sequence)
  }

  #release(sequence: Sequence): void {
    for (let stage = 0; stage < this.stages; stage++) {
      this.#caches.remove(stage, sequence.slot, 0)
      sequence.computed[stage] = 0
    }
    this.#free.push(sequence.slot)
  }

  has(sequence: Sequence): boolean {
    return this.#sequences.has(sequence)
  }

  /** The next step for the idle device, or undefined when nothing can run. It must be answered by `ran` or `aborted`. */
  next(): Step | undefined {
    const step = schedule(this.#sequences, this.#limits)
    this.#running = step !== undefined
    return step
  }

  /** The step's rows are in the stage's cache. */
  ran(step: Step): void {
    for (const { sequence, to } of step.rows) sequence.computed[step.stage] = to
    this.#ended()
  }

  /** The step was stopped or failed: whatever it left in the cache goes, nothing of it counts as computed. */
  aborted(step: Step): void {
    for (const { sequence, from } of step.rows) this.#caches.remove(step.stage, sequence.slot, from)
    this.#ended()
  }

  #ended(): void {
    this.#running = false
    for (const sequence of this.#leaving.splice(0)) this.#release(sequence)
  }

  /** Appends guesses to the tail. */
  draft(sequence: Sequence, tokens: readonly number[]): void {
    sequence.tokens.push(...tokens)
  }

  /** The one operation on revisable text: everything from `base` on becomes `tokens`, in all stages. */
  replace(sequence: Sequence, base: number, tokens: readonly number[] = []): void {
    if (base < sequence.committed) throw new RangeError(`token ${base} is committed and cannot be replaced`)
    sequence.tokens.length = base
    sequence.tokens.push(...tokens)
    for (let stage = 0; stage < this.stages; stage++) {
      if (sequence.computed[stage]! > base) {
        this.#caches.remove(stage, sequence.slot, base)
        sequence.computed[stage] = base
      }
    }
  }

  /**
   * The last stage chose `token` to follow the committed text: it confirms the tail's first token or replaces the tail.
   */
  decide(sequence: Sequence, token: number): Verdict {
    const guess = sequence.tokens[sequence.committed]
    if (guess === undefined) sequence.tokens.push(token)
    else if (guess !== token) this.replace(sequence, sequence.committed, [token])
    sequence.committed++
    return guess === undefined ? 'extended' : guess === token ? 'confirmed' : 'replaced'
  }
}

/** Length of the longest common prefix. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length)
  let i = 0
  while (i < end && a[i] === b[i]) i++
  return i
}
