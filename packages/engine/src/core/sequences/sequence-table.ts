import { defaultTier, type Tier } from '../../api/tiers.ts'
import { type Microbatch, microbatches, oneBatch } from '../cost/microbatches.ts'
import type { Caches, SavedState } from '../kv/caches.ts'
import {
  bytesOf,
  type Checkpoint,
  type CheckpointLimits,
  checkpointBefore,
  checkpointStops,
  defaultCheckpoints,
  thinned,
  withCheckpoint,
} from '../kv/checkpoint.ts'
import { KvCells } from '../kv/kv-cells.ts'
import { isSaved, type SavedRows } from '../kv/saved-rows.ts'
import {
  longestDraft,
  needsCheckpoints,
  runsInMicrobatches,
  type SequenceMemory,
  verifiesFromCheckpoints,
} from '../kv/sequence-memory.ts'
import { inPrompt, type Rows, rowsOf, type Sequence, type Step, slotRowsOf } from './sequence.ts'

/** What became of a decided token. `alternative`: the tail was wrong and another continuation right. */
export type Verdict = 'confirmed' | 'replaced' | 'extended' | 'alternative'

export interface StartOptions {
  /** See `Sequence`. Default: all false. */
  wantsExit?: boolean
  isInput?: boolean
  background?: boolean
  tier?: Tier
  arrival?: number
  /** See `Sequence`: these rows are not taken over from others, either, which have no output any more. Default: none. */
  scoresFrom?: number
  /** Of the tokens, this many are the prompt; the others are a reply that was begun before. Default: all. */
  prompt?: number
}

export interface SequenceTableOptions {
  /** Per stage the device it lives on. Stages of one device run one at a time; devices run at the same time. */
  devices: readonly number[]
  slots: number
  /** KV cells of each stage. */
  cells: number
  memory: SequenceMemory
  caches: Caches
  /** Default: `defaultCheckpoints`, whatever they take. */
  checkpoints?: CheckpointLimits
}

/**
 * Owns all sequences and every change of their state. It is told which rows run (`begin`) and
 * what came out (`ran`, `aborted`, `decide`).
 *
 * A stage's cache is never touched while it runs a step: what becomes of its rows meanwhile is noted in the step
 * (`Rows.valid`), and what is to be done to the cache waits, in order, until the step ends. The ledger of cells is ahead
 * of the cache: it counts rows from the moment their step begins, and no longer when they are given up.
 */
export class SequenceTable {
  readonly stages: number
  readonly slots: number
  /** Cells of stage 0, which always holds the most rows. */
  readonly cells: KvCells
  readonly #options: SequenceTableOptions
  readonly #sequences = new Set<Sequence>()
  readonly #free: number[]
  readonly #checkpoints: CheckpointLimits
  /** A checkpoint of these is to be taken. */
  readonly #due = new Set<Sequence>()
  /** Of the last one that was taken. */
  #bytesOfCheckpoint = 0
  /** Per stage: the step that runs there, and what is to be done to its cache afterwards. */
  readonly #running: (Step | undefined)[]
  readonly #deferred: (() => void)[][]
  #order = 0

  constructor(options: SequenceTableOptions) {
    this.#options = options
    this.#checkpoints = options.checkpoints ?? defaultCheckpoints
    this.stages = options.devices.length
    this.slots = options.slots
    this.cells = new KvCells(options.cells, options.slots, options.memory.sharesCells)
    this.#free = Array.from({ length: options.slots }, (_, i) => i)
    this.#running = options.devices.map(() => undefined)
    this.#deferred = options.devices.map(() => [])
  }

  get sequences(): ReadonlySet<Sequence> {
    return this.#sequences
  }

  get freeSlots(): number {
    return this.#free.length
  }

  /** Slots of sequences that have ended, whose rows leave when running steps end. */
  get leavingSlots(): number {
    return this.slots - this.#free.length - this.#sequences.size
  }

  /** Most guesses that can stand in a sequence's tail. */
  longestDraft(sequence: Sequence): number {
    const { memory } = this.#options
    const checkpoint = verifiesFromCheckpoints(memory) && !inPrompt(sequence)
    return checkpoint ? Number.POSITIVE_INFINITY : longestDraft(memory)
  }

  /** Bytes of the checkpoint that a draft needs; 0 where it needs none. */
  get draftBytes(): number {
    return verifiesFromCheckpoints(this.#options.memory) ? this.#bytesOfCheckpoint : 0
  }

  /** Whether single rows at the end of a sequence can be given up, and another one can go on behind any. */
  get dropsRows(): boolean {
    return this.#options.memory.dropsRows
  }

  /** Whether sequences that share rows share cells. */
  get sharesCells(): boolean {
    return this.#options.memory.sharesCells
  }

  has(sequence: Sequence): boolean {
    return this.#sequences.has(sequence)
  }

  /** Steps that run now. */
  get running(): Step[] {
    return this.#running.filter((step) => step !== undefined)
  }

  /** True while rows of this sequence are running. */
  inFlight(sequence: Sequence): boolean {
    return this.#running.some((step) => step?.rows.some((rows) => rows.sequence === sequence))
  }

  // --- beginnings ---------------------------------------------------------------------------------------------------

  /** Starts a sequence over a prompt, or returns undefined when all slots are taken. */
  add(prompt: readonly number[], options: StartOptions = {}): Sequence | undefined {
    const sequence = this.#start('reply', [...prompt], options)
    if (sequence) this.#wantCheckpoints(sequence)
    return sequence
  }

  #wantCheckpoints(sequence: Sequence): void {
    if (!needsCheckpoints(this.#options.memory)) return
    const prompt = sequence.tokens.slice(0, sequence.prefillLength)
    sequence.checkpointStops = checkpointStops(prompt, sequence.computed[0]!, this.#checkpoints)
  }

  /** Starts a sequence over a prompt whose beginning was kept. The last row is always left to run. */
  addRestored(kept: SavedRows, prompt: readonly number[], options: StartOptions = {}): Sequence | undefined {
    const sequence = this.#start('reply', [...prompt], options)
    if (sequence === undefined) return undefined
    this.#fill(sequence, kept, agreedRows(kept.tokens, sequence))
    this.#wantCheckpoints(sequence)
    return sequence
  }

  /**
   * Kept rows become rows of a new sequence, up to `most` of them, if there is room for a moment for all that was kept.
   */
  #fill(sequence: Sequence, kept: SavedRows, most: number): void {
    const { slot } = sequence
    const { caches, memory } = this.#options
    const end = this.usableRows(kept, most)
    if (end === 0 || kept.tokens.length > this.cells.free) return
    this.cells.grow(slot, end)
    const whole = end === kept.tokens.length
    const point = whole || memory.copyForks === 'anywhere' ? undefined : checkpointBefore(kept.checkpoints, end)!
    sequence.checkpoints = kept.checkpoints.filter(({ length }) => length <= end)
    if (needsCheckpoints(memory)) sequence.floor = end
    for (const [stage, state] of kept.states.entries()) {
      sequence.computed[stage] = end
      this.#defer(stage, () => {
        caches.restore(stage, slot, state)
        if (point) caches.restoreCheckpoint(stage, slot, point.states[stage]!, end)
        else if (!whole) caches.remove(stage, slot, end)
      })
    }
    if (whole) this.#takeCheckpoint(sequence)
  }

  /**
   * Of the first `most` rows of somebody, how many another sequence can go on from: fewer where that is possible at
   * checkpoints only.
   */
  usableRows(holder: Sequence | SavedRows, most: number): number {
    const { memory } = this.#options
    if (isSaved(holder)) {
      if (memory.copyForks === 'anywhere' || most >= holder.tokens.length) return Math.min(most, holder.tokens.length)
      return checkpointBefore(holder.checkpoints, most)?.length ?? 0
    }
    const end = Math.min(most, holder.computed.at(-1)!)
    return this.#isAt(holder, end) ? end : (checkpointBefore(holder.checkpoints, end)?.length ?? 0)
  }

  /** Whether a sequence can be left at this row as it is, without a checkpoint. */
  #isAt(sequence: Sequence, row: number): boolean {
    const { memory } = this.#options
    if (memory.dropsRows) return row >= sequence.floor
    return row === sequence.computed[0] && !sequence.rewound && !this.inFlight(sequence)
  }

  /** The sequence can be gone back to where it is now. Its rows have left all stages, and none is running. */
  #takeCheckpoint(sequence: Sequence): void {
    const length = sequence.computed.at(-1)!
    if (!needsCheckpoints(this.#options.memory) || length === 0 || sequence.checkpoints.at(-1)?.length === length)
      return
    this.#addCheckpoint(sequence, this.#checkpointOf(sequence, length))
  }

  /** Where a sequence is now. */
  #checkpointOf({ slot }: Sequence, length: number, over?: Checkpoint): Checkpoint {
    const states: SavedState[] = []
    for (let stage = 0; stage < this.stages; stage++) {
      // In order with what else is to be done to the cache: the rows may be on their way into it.
      this.#defer(stage, () => {
        states[stage] = this.#options.caches.saveCheckpoint(stage, slot, over?.states[stage])
      })
    }
    return { length, states }
  }

  /** Where all take more than they may, those of the sequence that has most of them thin out; one stays for each. */
  #addCheckpoint(sequence: Sequence, checkpoint: Checkpoint): void {
    const { bytes, most } = this.#checkpoints
    sequence.checkpoints = withCheckpoint(sequence.checkpoints, checkpoint, most)
    this.#bytesOfCheckpoint = bytesOf([checkpoint])
    const all = () => [...this.#sequences].flatMap(({ checkpoints }) => checkpoints)
    while (bytesOf(all()) > bytes) {
      const [victim] = [...this.#sequences].sort((a, b) => bytesOf(b.checkpoints) - bytesOf(a.checkpoints))
      if (!victim || victim.checkpoints.length <= 1) return
      victim.checkpoints = thinned(victim.checkpoints)
    }
  }

  /** A sequence that is to end stands at a row of another one, which can be gone back to there from now on. */
  leaveCheckpoint(from: Sequence, to: Sequence): void {
    const length = from.computed.at(-1)!
    if (!needsCheckpoints(this.#options.memory) || length === 0 || from.rewound || this.inFlight(from)) return
    if (to.checkpoints.some((checkpoint) => checkpoint.length === length)) return
    this.#addCheckpoint(to, this.#checkpointOf(from, length))
  }

  /**
   * A sequence that is over stays where it is, for others to go on from. Where it went back to a snapshot, which only it
   * could go on from, it stands there as if it had come there.
   */
  rest(sequence: Sequence): void {
    this.pauseAt(sequence, 0)
    sequence.background = true
    sequence.rewindsTo = Number.POSITIVE_INFINITY
    if (!sequence.rewound) return
    sequence.rewound = false
    const length = sequence.computed.at(-1)!
    const { states } = this.#checkpointOf(sequence, length)
    for (let stage = 0; stage < this.stages; stage++) {
      this.#defer(stage, () => {
        this.#options.caches.restoreCheckpoint(stage, sequence.slot, states[stage]!, length)
      })
    }
  }

  /** After a step that ran rows from `from` on: is a checkpoint wanted where the sequence is now, or the last one far behind? */
  #checkpointIfDue(sequence: Sequence, from: number): void {
    const { tokens, prefillLength, isInput, checkpointStops: stops } = sequence
    const { promptSpacing, inputSpacing, worthCopying } = this.#checkpoints
    const rows = sequence.computed.at(-1)!
    sequence.checkpointStops = stops.filter((stop) => stop > rows)
    const behind = rows - (sequence.checkpoints.at(-1)?.length ?? 0)
    if (behind < worthCopying(this.#bytesOfCheckpoint)) return
    const due = isInput
      ? behind >= inputSpacing || rows === tokens.length
      : stops.includes(rows) || (from < prefillLength && (rows >= prefillLength || behind >= promptSpacing))
    if (due) this.#due.add(sequence)
  }

  /** Takes the checkpoints that the last steps have led to: copies, which those who wait for tokens of these steps need not wait for. */
  takeCheckpoints(): void {
    for (const sequence of this.#due) {
      if (this.#sequences.has(sequence) && !sequence.rewound && !this.inFlight(sequence)) this.#takeCheckpoint(sequence)
    }
    this.#due.clear()
  }

  /**
   * Copies a sequence's rows that have left the last stage. A stage that runs a step is copied when it ends; the sequence
   * may be removed before that.
   * @param done is told one state per stage when all are there: at once where nothing runs
   */
  save(sequence: Sequence, done: (states: SavedState[]) => void): void {
    const { computed, slot } = sequence
    // Only what has left the last stage is of use; the tail of a stage before is rolled back first.
    if (computed.some((rows) => rows > computed.at(-1)!))
      throw new RangeError('rows are saved that have not left the last stage')
    const states: SavedState[] = []
    let left = this.stages
    for (let stage = 0; stage < this.stages; stage++) {
      this.#defer(stage, () => {
        states[stage] = this.#options.caches.save(stage, slot)
        if (--left === 0) done(states)
      })
    }
  }

  /**
   * Starts a sequence over a text that is still being written: background work, without output.
   * @param source who holds its first `length` tokens
   */
  addInput(source?: { holder: Sequence | SavedRows; length: number }): Sequence | undefined {
    const tokens = source?.holder.tokens.slice(0, source.length) ?? []
    const sequence = this.#start('reply', tokens, { isInput: true, background: true, prompt: 0 })
    if (sequence === undefined) return undefined
    sequence.committed = 0
    sequence.prefillLength = 0
    if (source === undefined) return sequence
    const { holder, length } = source
    if ('states' in holder) this.#fill(sequence, holder, length)
    else this.#share(holder, sequence, this.usableRows(holder, length))
    return sequence
  }

  /**
   * Starts a sequence over a prompt that shares what another one has computed of it, as far as the tokens agree. The last
   * row is always left to run: its logits are wanted. Later changes of one are not seen by the other.
   */
  addSharing(source: Sequence, prompt: readonly number[], options: StartOptions = {}): Sequence | undefined {
    const sequence = this.#start('reply', [...prompt], options)
    if (sequence === undefined) return undefined
    this.#share(source, sequence, this.usableRows(source, agreedRows(source.tokens, sequence)))
    this.#wantCheckpoints(sequence)
    return sequence
  }

  /**
   * A look ahead: a new sequence that shares the parent's first `at` rows in every stage, followed by `rest`. The rows
   * must have left the last stage. Sharing is safe because they are prompt rows, which a parent never rolls back.
   */
  addLookahead(parent: Sequence, at: number, rest: readonly number[]): Sequence | undefined {
    if (at > parent.computed.at(-1)! || at > parent.committed)
      throw new RangeError('a lookahead must be computed and committed')
    if (!this.#isAt(parent, at)) return undefined
    const tokens = [...parent.tokens.slice(0, at), ...rest]
    const ahead = this.#start('lookahead', tokens, { tier: parent.tier, arrival: parent.arrival }, parent, at)
    if (ahead !== undefined) this.#share(parent, ahead, at)
    return ahead
  }

  /**
   * Another continuation of `parent`: `tokens` instead of its tail. Rows before are the parent's, also those it has not
   * computed yet: they run once, for both. It lives until the parent's next token is decided. Only in a unified cache.
   */
  addAlternative(parent: Sequence, tokens: readonly number[]): Sequence | undefined {
    if (!this.sharesCells || !this.dropsRows) return undefined
    const at = parent.committed
    const all = [...parent.tokens.slice(0, at), ...tokens]
    const alternative = this.#start('alternative', all, { tier: parent.tier, arrival: parent.arrival }, parent, at)
    if (alternative === undefined) return undefined
    alternative.committed = at
    this.#share(parent, alternative, at)
    return alternative
  }

  /** Rows [0, end) of `from` become rows of `to`, in every stage as far as it has them. */
  #share(from: Sequence, to: Sequence, end: number): void {
    if (needsCheckpoints(this.#options.memory)) {
      const point = this.#isAt(from, end) ? undefined : checkpointBefore(from.checkpoints, end)
      to.checkpoints = from.checkpoints.filter(({ length }) => length <= end)
      to.floor = point ? end : Math.min(from.floor, end)
      // The two have one state now, which neither may change for the other.
      from.rewindsTo = Number.POSITIVE_INFINITY
      if (point) {
        this.#shareAt(from, to, point)
        return
      }
    }
    for (let stage = 0; stage < this.stages; stage++) {
      const most = Math.min(from.computed[stage]!, end)
      if (most > 0) this.#shareRows(stage, from, to, most)
      // What runs now belongs to both as soon as it is there.
      else if (this.#rowsInFlight(stage, from)) this.#defer(stage, () => this.#catchUp(stage, from, to, end))
    }
  }

  /** Rows up to a checkpoint of `from` become rows of `to`. */
  #shareAt(from: Sequence, to: Sequence, { length, states }: Checkpoint): void {
    const { slot: source } = from
    const { slot } = to
    for (let stage = 0; stage < this.stages; stage++) {
      to.computed[stage] = length
      if (stage === 0) this.cells.share(source, slot, length)
      this.#defer(stage, () => {
        this.#options.caches.share(stage, source, slot, 0, length)
        this.#options.caches.restoreCheckpoint(stage, slot, states[stage]!, length)
      })
    }
  }

  #shareRows(stage: number, from: Sequence, to: Sequence, end: number): void {
    const { slot: source } = from
    const { slot } = to
    to.computed[stage] = end
    if (stage === 0) this.cells.share(source, slot, end)
    this.#defer(stage, () => this.#options.caches.share(stage, source, slot, 0, end))
    if (to.kind === 'alternative' && this.#rowsInFlight(stage, from)) {
      this.#defer(stage, () => this.#catchUp(stage, from, to, to.forkPoint))
    }
  }

  /** A alternative takes what its parent computed while it was born. */
  #catchUp(stage: number, from: Sequence, to: Sequence, end: number): void {
    if (to.kind !== 'alternative' || !this.#sequences.has(to) || !this.#sequences.has(from)) return
    const most = Math.min(from.computed[stage]!, end)
    const held = to.computed[stage]!
    if (most <= held) return
    this.#options.caches.share(stage, from.slot, to.slot, held, most)
    if (stage === 0) this.cells.share(from.slot, to.slot, most)
    to.computed[stage] = most
  }

  #start(
    kind: Sequence['kind'],
    tokens: number[],
    options: StartOptions,
    parent?: Sequence,
    at = 0,
  ): Sequence | undefined {
    // Replies from below, everything else from above: rows of neighbouring slots run in one pass where every slot has a
    // cache of its own.
    const replies = kind === 'reply' && !options.background
    const slot = replies ? this.#free.shift() : this.#free.pop()
    if (slot === undefined) return undefined
    const sequence: Sequence = {
      slot,
      order: this.#order++,
      kind,
      ...(parent && { parent }),
      forkPoint: at,
      prompt: options.prompt ?? tokens.length,
      prefillLength: tokens.length,
      tokens,
      committed: tokens.length,
      computed: new Array<number>(this.stages).fill(0),
      pausedAt: Number.POSITIVE_INFINITY,
      checkpoints: [],
      beforeTail: undefined,
      checkpointStops: [],
      floor: 0,
      rewindsTo: Number.POSITIVE_INFINITY,
      rewound: false,
      wantsExit: options.wantsExit ?? false,
      isInput: options.isInput ?? false,
      scoresFrom: options.scoresFrom ?? Number.POSITIVE_INFINITY,
      background: options.background ?? false,
      tier: options.tier ?? defaultTier,
      arrival: options.arrival ?? 0,
      lastOutputAt: options.arrival ?? 0,
    }
    this.#sequences.add(sequence)
    return sequence
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  /**
   * Stages of a device whose rows can be planned, or undefined while it runs a step.
   */
  idleStages(device: number): number[] | undefined {
    const stages: number[] = []
    for (const [stage, at] of this.#options.devices.entries()) {
      if (at !== device) continue
      if (this.#running[stage] !== undefined) return undefined
      stages.push(stage)
    }
    return stages
  }

  /** The microbatches that the step takes: in caches of their own, sequences do not always run together. */
  microbatchesOf(step: Step): Microbatch[] {
    return runsInMicrobatches(this.#options.memory) ? microbatches(slotRowsOf(step)) : [oneBatch(rowsOf(step))]
  }

  /** The step runs from now on. It must be answered by `ran` or `aborted`. */
  begin(step: Step): void {
    this.#running[step.stage] = step
    if (step.stage > 0) return
    for (const { slot, to, shared } of step.rows) this.cells.grow(slot, to, shared)
  }

  /**
   * The step's rows are in the stage's cache, also those that were rolled back meanwhile: they leave it now.
   * @param now ms, on the clock of the arrivals
   */
  ran(step: Step, now: number): void {
    const { stage } = step
    const last = stage === this.stages - 1
    const { snapshots } = this.#options.memory
    for (const rows of step.rows) {
      if (rows.valid > rows.from) {
        rows.sequence.computed[stage] = rows.valid
        rows.sequence.rewound = false
        if (snapshots > 0) rows.sequence.rewindsTo = Math.max(rows.from + 1, rows.to - snapshots)
        if (last) rows.sequence.lastOutputAt = now
      }
      for (const { slot, end } of rows.shared) {
        const alternative = this.#alternativeIn(slot, rows.sequence)
        if (alternative && rows.valid > alternative.computed[stage]!)
          alternative.computed[stage] = Math.min(rows.valid, end)
      }
    }
    this.#finishStep(step)
    if (!last || !needsCheckpoints(this.#options.memory)) return
    for (const { sequence, valid, from } of step.rows) {
      if (valid > from && this.#sequences.has(sequence)) this.#checkpointIfDue(sequence, from)
    }
  }

  #alternativeIn(slot: number, parent: Sequence): Sequence | undefined {
    for (const other of this.#sequences) {
      if (other.slot === slot) return other.kind === 'alternative' && other.parent === parent ? other : undefined
    }
    return undefined
  }

  /** The step was stopped or failed: whatever it left in the cache goes, nothing of it counts as computed. */
  aborted(step: Step): void {
    const { stage } = step
    for (const { sequence, slot, shared, from } of step.rows) {
      if (!this.#options.memory.dropsRows) {
        // What it was before the step is gone. Who is gone leaves the cache below.
        if (this.#sequences.has(sequence)) this.#goBack(sequence, from)
        continue
      }
      for (const other of [slot, ...shared.map((alternative) => alternative.slot)]) {
        this.#options.caches.remove(stage, other, from)
        if (stage === 0) this.cells.remove(other, from)
      }
    }
    this.#finishStep(step)
  }

  #finishStep(step: Step): void {
    const { stage } = step
    this.#running[stage] = undefined
    for (const act of this.#deferred[stage]!.splice(0)) act()
  }

  #defer(stage: number, act: () => void): void {
    if (this.#running[stage] === undefined) act()
    else this.#deferred[stage]!.push(act)
  }

  /** Rows of a slot from `base` on are given up: in the cache as soon as it may be touched. */
  #giveUp(stage: number, slot: number, base: number): void {
    if (stage === 0) this.cells.remove(slot, base)
    this.#defer(stage, () => this.#options.caches.remove(stage, slot, base))
  }

  #rowsInFlight(stage: number, sequence: Sequence): Rows | undefined {
    return this.#running[stage]?.rows.find((rows) => rows.sequence === sequence)
  }

  /** Stage 0 stops before this token until it is resumed, or paused elsewhere: a lookahead is wanted here, say. */
  pauseAt(sequence: Sequence, token: number): void {
    sequence.pausedAt = token
  }

  resume(sequence: Sequence): void {
    sequence.pausedAt = Number.POSITIVE_INFINITY
  }

  /** Revocable work becomes work like any other. */
  promote(sequence: Sequence): void {
    sequence.background = false
    this.resume(sequence)
  }

  /** Stage 0's exit head is asked no more. */
  endExits(sequence: Sequence): void {
    sequence.wantsExit = false
  }

  // --- changes ------------------------------------------------------------------------------------------------------

  /** Appends guesses to the tail. */
  append(sequence: Sequence, tokens: readonly number[]): void {
    if (sequence.tokens.length === sequence.committed && verifiesFromCheckpoints(this.#options.memory)) {
      sequence.beforeTail = this.#checkpointOf(sequence, sequence.computed[0]!, sequence.beforeTail)
    }
    sequence.tokens.push(...tokens)
  }

  /** The one operation on revisable text: everything from `base` on becomes `tokens`, in all stages. */
  replace(sequence: Sequence, base: number, tokens: readonly number[] = []): void {
    if (base < sequence.committed) throw new RangeError(`token ${base} is committed and cannot be replaced`)
    sequence.tokens.length = base
    sequence.tokens.push(...tokens)
    this.#rollBack(sequence, base)
  }

  #rollBack(sequence: Sequence, base: number): void {
    const { slot } = sequence
    if (!this.#options.memory.dropsRows || base < sequence.floor) {
      if (!this.#rewind(sequence, base)) this.#goBack(sequence, base)
      return
    }
    sequence.checkpoints = sequence.checkpoints.filter(({ length }) => length <= base)
    for (let stage = 0; stage < this.stages; stage++) {
      const running = this.#rowsInFlight(stage, sequence)
      if (running) running.valid = Math.min(running.valid, Math.max(base, running.from))
      const held = Math.max(sequence.computed[stage]!, running?.to ?? 0)
      if (held <= base) continue
      sequence.computed[stage] = Math.min(sequence.computed[stage]!, base)
      this.#giveUp(stage, slot, base)
    }
  }

  /** Back to a snapshot of the last step. False where there is none. */
  #rewind(sequence: Sequence, base: number): boolean {
    const { slot, computed, rewindsTo } = sequence
    if (base < rewindsTo || base >= computed[0]! || this.inFlight(sequence)) return false
    sequence.rewindsTo = Number.POSITIVE_INFINITY
    sequence.rewound = true
    sequence.checkpoints = sequence.checkpoints.filter(({ length }) => length <= base)
    computed[0] = base
    this.#giveUp(0, slot, base)
    return true
  }

  /**
   * The memory cannot drop single rows: back to the last checkpoint with at most `base` rows before it, or to the beginning.
   */
  #goBack(sequence: Sequence, base: number): void {
    const { caches } = this.#options
    const { slot } = sequence
    const running = Array.from({ length: this.stages }, (_, stage) => this.#rowsInFlight(stage, sequence))
    const held = Math.max(...sequence.computed, ...running.map((rows) => rows?.to ?? 0))
    if (held <= base) return
    const { beforeTail } = sequence
    const kept = checkpointBefore(sequence.checkpoints, base)
    const point = beforeTail && beforeTail.length <= base && beforeTail.length > (kept?.length ?? 0) ? beforeTail : kept
    const length = point?.length ?? 0
    if (beforeTail && beforeTail.length > length) sequence.beforeTail = undefined
    sequence.checkpoints = sequence.checkpoints.filter((checkpoint) => checkpoint.length <= length)
    sequence.floor = Math.min(sequence.floor, length)
    sequence.rewindsTo = Number.POSITIVE_INFINITY
    sequence.rewound = false
    for (let stage = 0; stage < this.stages; stage++) {
      const rows = running[stage]
      if (rows) rows.valid = rows.from
      sequence.computed[stage] = Math.min(sequence.computed[stage]!, length)
      if (stage === 0) this.cells.remove(slot, length)
      this.#defer(stage, () => {
        if (point) caches.restoreCheckpoint(stage, slot, point.states[stage]!, length)
        else caches.remove(stage, slot, 0)
      })
    }
  }

  /**
   * The last stage chose `token` to follow the committed text: it confirms the tail's first token or replaces the tail.
   * Where the tail is wrong and a alternative is right, the alternative's rows become the sequence's own.
   */
  decide(sequence: Sequence, token: number): Verdict {
    const wrong = sequence.tokens[sequence.committed] !== token
    const right =
      wrong &&
      this.alternatives(sequence).find(({ forkPoint: at, tokens }) => at === sequence.committed && tokens[at] === token)
    if (right) this.#takeOver(sequence, right)
    const verdict = this.commit(sequence, token)
    return right ? 'alternative' : verdict
  }

  /** A token is final, whoever says so. Other continuations have lost. */
  commit(sequence: Sequence, token: number): Verdict {
    const guess = sequence.tokens[sequence.committed]
    if (guess === undefined) sequence.tokens.push(token)
    else if (guess !== token) this.replace(sequence, sequence.committed, [token])
    sequence.committed++
    for (const alternative of this.alternatives(sequence)) this.remove(alternative)
    return guess === undefined ? 'extended' : guess === token ? 'confirmed' : 'replaced'
  }

  alternatives(sequence: Sequence): Sequence[] {
    return this.children(sequence).filter(({ kind }) => kind === 'alternative')
  }

  /** Its looks and its other continuations. */
  children(sequence: Sequence): Sequence[] {
    return [...this.#sequences].filter(({ parent }) => parent === sequence)
  }

  /**
   * The alternative's rows become the sequence's. Rows of either that are running are given up: all they share was there when
   * the token was decided.
   */
  #takeOver(sequence: Sequence, alternative: Sequence): void {
    for (let stage = 0; stage < this.stages; stage++) {
      for (const one of [sequence, alternative]) {
        const running = this.#rowsInFlight(stage, one)
        if (!running) continue
        running.valid = running.from
        this.#giveUp(stage, one.slot, running.from)
      }
    }
    ;[sequence.slot, alternative.slot] = [alternative.slot, sequence.slot]
    for (let stage = 0; stage < this.stages; stage++) {
      const mine = sequence.computed[stage]!
      sequence.computed[stage] = alternative.computed[stage]!
      alternative.computed[stage] = mine
    }
    sequence.tokens.length = alternative.forkPoint
    sequence.tokens.push(...alternative.tokens.slice(alternative.forkPoint))
  }

  /** The open text now is this: what agrees stays computed, the rest is rolled back. */
  revise(sequence: Sequence, tokens: readonly number[]): void {
    const base = commonPrefix(sequence.tokens, tokens)
    this.replace(sequence, base, tokens.slice(base))
  }

  /**
   * A reply is over: rows that have not left the last stage, or belong to guesses that nobody will verify, leave all
   * caches. Its tokens stay as they are.
   */
  dropUnfinishedRows(sequence: Sequence): void {
    this.removeChildren(sequence)
    const computed = sequence.computed.at(-1)!
    this.#rollBack(sequence, sequence.isInput ? computed : Math.min(computed, sequence.committed))
  }

  /**
   * Ends a sequence, finished or cancelled, and its lookaheads and alternatives: all its rows leave every cache. Allowed at any
   * time; in a stage that runs a step the rows leave when it ends, and the slot is free when all have left.
   */
  remove(sequence: Sequence): void {
    if (!this.#sequences.delete(sequence)) return
    this.removeChildren(sequence)
    const { slot } = sequence
    this.cells.remove(slot, 0)
    let left = this.stages
    for (let stage = 0; stage < this.stages; stage++) {
      const running = this.#rowsInFlight(stage, sequence)
      if (running) running.valid = running.from
      sequence.computed[stage] = 0
      this.#defer(stage, () => {
        this.#options.caches.remove(stage, slot, 0)
        if (--left > 0) return
        this.#free.push(slot)
        this.#free.sort((a, b) => a - b)
      })
    }
  }

  removeChildren(sequence: Sequence): void {
    for (const child of this.children(sequence)) this.remove(child)
  }
}

/** Rows of these tokens that a sequence over a prompt can begin with. */
function agreedRows(tokens: readonly number[], { tokens: prompt, scoresFrom }: Sequence): number {
  return Math.min(commonPrefix(tokens, prompt), prompt.length - 1, scoresFrom)
}

/** Length of the longest common prefix. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length)
  let i = 0
  while (i < end && a[i] === b[i]) i++
  return i
}
