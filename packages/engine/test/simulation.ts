import assert from 'node:assert/strict'
import type { Caches, SavedState } from '../src/core/kv/caches.ts'
import { fullAttention, recurrentState, type SequenceMemory, slidingWindow } from '../src/core/kv/sequence-memory.ts'
import type { Step } from '../src/core/sequences/sequence.ts'
import { HiddenStates } from '../src/runtime/hidden-states.ts'
import { layer, SequentialModel, tokenOf } from './simulated-model.ts'

export { decodeAlone } from './simulated-model.ts'

/** Rows outside the KV cache; ten bytes each. */
interface SavedRows extends SavedState {
  readonly stage: number
  readonly rows: readonly number[]
  readonly salt: string | undefined
}

/** What the simulated memory can do: see `memoryOf`. */
export type MemoryKind = 'rows' | 'window' | 'state' | 'snapshots'
const snapshots = 3

export function memoryOf(kind: MemoryKind, unified: boolean): SequenceMemory {
  return kind === 'rows'
    ? fullAttention(unified)
    : kind === 'window'
      ? slidingWindow(4, unified)
      : recurrentState(0, unified, kind === 'snapshots' ? snapshots : 0)
}

/** At which lengths a slot can be gone on from. */
interface Exact {
  /** Before it rows are missing. */
  from: number
  /** Where a state stands. */
  to: number
  /** First row of the last step. */
  step: number
  /** It went back within that step. */
  rewound: boolean
  /** A copy of a state that had gone back, which copies do not know. */
  stale: boolean
}

/** One KV cell: the row it holds, how many slots hold it, and whose it is. */
interface Cell {
  readonly row: number
  holders: number
  salt: string | undefined
}

/**
 * Stages without weights. Each keeps, per slot, one number per position that depends on every token up to there, as a
 * real KV cache does: a stale or missing row changes everything that is computed after it. In a unified cache rows that
 * several slots share are one cell, otherwise they are copied. States wait between stages in the engine's own `States`.
 */
export class SimulatedStages implements Caches {
  readonly #memory: MemoryKind
  readonly stages: number
  readonly #cells: number
  readonly #cellsOfSlot: number
  readonly #unified: boolean
  readonly #cache: Cell[][][]
  readonly #used: number[]
  readonly #states: HiddenStates[][]
  /**
   * Per stage and slot: at which lengths it can be gone on from. A state stands at one length; behind a copy with one window
   * anything, before its end nothing.
   */
  readonly #exact: Exact[][]
  /** Checkpoints that were gone back to, and snapshots. */
  wentBack = 0
  rewound = 0
  /** Per stage: what runs, as its inputs were when it began. */
  readonly #running: (number[][] | undefined)[]
  /** Rows with output of the last step of each stage, by slot and position. */
  readonly #outputs: Map<number, number>[]

  constructor(options: { stages: number; slots: number; cells: number; unified: boolean; memory?: MemoryKind }) {
    const { stages, slots, cells, unified, memory = 'rows' } = options
    this.#memory = memory
    this.#exact = perSlot(() => ({ from: 0, to: 0, step: 0, rewound: false, stale: false }))
    this.stages = stages
    this.#cells = cells
    this.#cellsOfSlot = unified ? cells : cells / slots
    this.#unified = unified
    this.#cache = perSlot(() => [])
    this.#states = perSlot(() => new HiddenStates(1))
    this.#used = new Array<number>(stages).fill(0)
    this.#running = new Array<number[][] | undefined>(stages).fill(undefined)
    this.#outputs = Array.from({ length: stages }, () => new Map())

    function perSlot<T>(make: () => T): T[][] {
      return Array.from({ length: stages }, () => Array.from({ length: slots }, make))
    }
  }

  /** A decode begins: it reads its inputs now, and until it ends nobody may touch the stage's cache. */
  begin(step: Step): void {
    const { stage } = step
    assert.equal(this.#running[stage], undefined, 'two steps of a stage at once')
    this.#outputs[stage]!.clear()
    this.#running[stage] = step.rows.map(({ sequence, slot, from, to }) => {
      const inputs: number[] = []
      for (let position = from; position < to; position++) {
        inputs.push(this.#input(stage, slot, position, sequence.tokens))
      }
      return inputs
    })
  }

  /** The decode ends with all rows of the step in the cache, or, aborted, with any number of them. */
  end(step: Step, abortedAfter = Number.POSITIVE_INFINITY): void {
    const { stage } = step
    const inputs = this.#running[stage]
    assert.ok(inputs !== undefined)
    this.#running[stage] = undefined
    let left = abortedAfter
    for (const [index, { slot, shared, from, output }] of step.rows.entries()) {
      if (left <= 0) break
      const cache = this.#cache[stage]![slot]!
      assert.equal(cache.length, from, `stage ${stage} slot ${slot}: rows do not follow the cache`)
      const exact = this.#exact[stage]![slot]!
      if (this.#memory === 'window') assert.ok(from >= exact.from, 'rows of the window are missing')
      if (this.#isState) {
        assert.equal(exact.to, from, 'the state is that of another text')
        assert.ok(!exact.stale, 'the state is that of a text before it was taken back')
      }
      for (const [i, input] of inputs[index]!.entries()) {
        if (left-- <= 0) break
        const position = from + i
        const cell = this.#newCell(stage, layer(stage, cache.at(-1)?.row, input))
        this.#hold(stage, slot, position, cell)
        for (const other of shared) if (position < other.end) this.#hold(stage, other.slot, position, cell)
        if (position >= output) this.#outputs[stage]!.set(slot * 65536 + position, cell.row)
      }
      Object.assign(exact, { to: cache.length, step: from, rewound: false })
    }
  }

  #newCell(stage: number, row: number, salt?: string): Cell {
    assert.ok(++this.#used[stage]! <= this.#cells, `stage ${stage} has no cell left`)
    return { row, holders: 0, salt }
  }

  /** Keeps the states that a step left, as far as they are still wanted, and releases those it took. */
  settle({ stage, rows }: Step): void {
    for (const { slot, from, valid } of rows) {
      if (valid === from) continue
      if (stage < this.stages - 1) {
        const left = this.#cache[stage]![slot]!.slice(from, valid)
        this.#states[stage]![slot]!.append(from, valid).set(left.map(({ row }) => row))
      }
      if (stage > 0) this.#states[stage - 1]![slot]!.release(valid)
    }
  }

  #input(stage: number, slot: number, position: number, tokens: readonly number[]): number {
    if (stage > 0) return this.#states[stage - 1]![slot]!.row(position)[0]!
    assert.ok(position < tokens.length, 'a row without a token')
    return tokens[position]!
  }

  #hold(stage: number, slot: number, position: number, cell: Cell): void {
    const cache = this.#cache[stage]![slot]!
    assert.equal(cache.length, position, `stage ${stage} slot ${slot}: a row does not follow those before`)
    cache.push(cell)
    cell.holders++
    assert.ok(cache.length <= this.#cellsOfSlot, `stage ${stage} slot ${slot} has no cell left`)
  }

  /** A row of the stage's last step, or undefined when it had no output. */
  output(stage: number, slot: number, position: number): number | undefined {
    return this.#outputs[stage]!.get(slot * 65536 + position)
  }

  /** The likeliest token after a row of the last stage's last step, or undefined when it had no output. */
  tokenAfter(slot: number, position: number): number | undefined {
    const row = this.output(this.stages - 1, slot, position)
    return row === undefined ? undefined : tokenOf(row)
  }

  /** The last row that a stage holds for a slot. It depends on all before it. */
  lastRow(stage: number, slot: number): number | undefined {
    return this.#cache[stage]![slot]!.at(-1)?.row
  }

  /** Number of rows a stage holds for a slot. */
  rows(stage: number, slot: number): number {
    return this.#cache[stage]![slot]!.length
  }

  /** Cells of a stage that hold a row. */
  used(stage: number): number {
    return this.#used[stage]!
  }

  /** All rows of a slot belong to this namespace; none of them may belong to another one. */
  claim(stage: number, slot: number, salt: string): void {
    for (const cell of this.#cache[stage]![slot]!) {
      cell.salt ??= salt
      if (cell.salt !== salt) assert.fail(`stage ${stage} slot ${slot} holds a row of another namespace`)
    }
  }

  /** Saved rows are those of these tokens, in this namespace. */
  checkSaved(states: readonly SavedState[], tokens: readonly number[], salt: string): void {
    assert.equal(states.length, this.stages)
    const model = new SequentialModel(this.stages)
    const rows = tokens.map((_, i) => model.rowsAfter(tokens, i + 1))
    for (const [stage, state] of states.entries()) {
      const saved = state as SavedRows
      assert.equal(saved.salt ?? salt, salt, 'rows of another namespace are kept')
      assert.deepEqual(
        saved.rows,
        rows.map((row) => row[stage]),
        'kept rows are not those of their tokens',
      )
    }
  }

  isRunning(stage: number): boolean {
    return this.#running[stage] !== undefined
  }

  remove(stage: number, slot: number, from: number): void {
    assert.equal(this.#running[stage], undefined, 'a cache was touched while a step was running')
    const exact = this.#exact[stage]![slot]!
    if (from === 0) Object.assign(exact, { from: 0, to: 0, step: 0, rewound: false, stale: false })
    if (this.#isState && from < exact.to) {
      const least = Math.max(exact.step + 1, exact.to - snapshots)
      const kept = this.#memory === 'snapshots' && !exact.rewound && from >= least
      if (!kept) assert.fail('a memory refuses to give single rows up')
      Object.assign(exact, { to: from, rewound: true })
      this.rewound++
    }
    if (this.#memory === 'window') assert.ok(from >= exact.from, 'rows are given up that a copy did not have')
    this.#cut(stage, slot, from)
  }

  #cut(stage: number, slot: number, from: number): void {
    const cache = this.#cache[stage]![slot]!
    while (cache.length > from) if (--cache.pop()!.holders === 0) this.#used[stage]!--
    this.#states[stage]![slot]!.truncate(from)
  }

  share(stage: number, source: number, to: number, from: number, end: number): void {
    assert.equal(this.#running[stage], undefined, 'a cache was touched while a step was running')
    assert.ok(this.rows(stage, source) >= end, 'rows are shared that are not there')
    for (const [i, cell] of this.#cache[stage]![source]!.slice(from, end).entries()) {
      this.#hold(stage, to, from + i, this.#unified ? cell : this.#newCell(stage, cell.row, cell.salt))
    }
    const exact = this.#exact[stage]![source]!
    this.#exact[stage]![to] = { ...exact, stale: exact.stale || exact.rewound }
    // The two have one state: none of them may take it back for the other.
    exact.step = exact.to
  }

  save(stage: number, slot: number): SavedRows {
    assert.equal(this.#running[stage], undefined, 'a cache was read while a step was running')
    const rows = this.#cache[stage]![slot]!.map(({ row }) => row)
    return { stage, rows, salt: this.#cache[stage]![slot]![0]?.salt, bytes: 10 * rows.length }
  }

  restore(stage: number, slot: number, state: SavedState): void {
    assert.equal(this.#running[stage], undefined, 'a cache was touched while a step was running')
    const saved = state as SavedRows
    assert.equal(saved.stage, stage, 'rows of another stage are restored')
    for (const [position, row] of saved.rows.entries()) {
      this.#hold(stage, slot, position, this.#newCell(stage, row, saved.salt))
    }
    this.#stand(stage, slot, saved.rows.length)
  }

  saveCheckpoint(stage: number, slot: number): SavedRows {
    assert.notEqual(this.#memory, 'rows')
    assert.equal(this.#running[stage], undefined, 'a cache was read while a step was running')
    const cells = this.#cache[stage]![slot]!
    if (this.#isState) assert.equal(this.#exact[stage]![slot]!.to, cells.length)
    return { stage, rows: cells.slice(-1).map(({ row }) => row), salt: cells[0]?.salt, bytes: 5 }
  }

  restoreCheckpoint(stage: number, slot: number, state: SavedState, rows: number): void {
    assert.equal(this.#running[stage], undefined, 'a cache was touched while a step was running')
    const saved = state as SavedRows
    assert.equal(saved.stage, stage, 'a checkpoint of another stage is restored')
    assert.ok(this.rows(stage, slot) >= rows, 'rows before a checkpoint are not there')
    assert.equal(this.#cache[stage]![slot]![rows - 1]!.row, saved.rows[0], 'a checkpoint of another text is restored')
    this.#cut(stage, slot, rows)
    this.wentBack++
    this.#stand(stage, slot, rows)
  }

  #stand(stage: number, slot: number, rows: number): void {
    this.#exact[stage]![slot] = { from: rows, to: rows, step: rows, rewound: false, stale: false }
  }

  get #isState(): boolean {
    return this.#memory === 'state' || this.#memory === 'snapshots'
  }
}
