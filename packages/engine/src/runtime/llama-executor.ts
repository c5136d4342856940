import type { DraftModel, EndedStep, Executor, HeadGuess, OutputRow, Place } from '../core/executor.ts'
import type { Caches, SavedState } from '../core/kv/caches.ts'
import { type ChosenLogprobs, logprobsOf } from '../core/sampling/logprobs.ts'
import type { Choice, TokenChooser, Wanted } from '../core/sampling/token-chooser.ts'
import type { Rows, Step } from '../core/sequences/sequence.ts'
import type { Device } from './device.ts'
import type { DraftRunner } from './draft-runner.ts'
import type { Heads } from './heads.ts'
import type { Stage } from './stage.ts'

/** Rows of a slot outside the KV cache, as llama.cpp serialises them. */
export interface RowsState extends SavedState {
  readonly rows: Uint8Array
}

export function rowsState(rows: Uint8Array): RowsState {
  return { rows, bytes: rows.length }
}

/** The state that a slot's last row left stage 0 with. */
interface LastState {
  index: number
  readonly values: Float32Array
}

/** Runs steps on llama.cpp: stages with their KV caches, on devices that take one decode at a time each. */
export class LlamaExecutor implements Executor {
  readonly stages: readonly Stage[]
  readonly devices: readonly Device[]
  readonly caches: Caches
  readonly #drafts: DraftRunner | undefined
  readonly #heads: Heads | undefined
  /** By slot; with heads only. */
  readonly #lastStates: LastState[] = []
  readonly #logits: Float32Array
  readonly #running = new Map<Step, Promise<EndedStep>>()
  /** Compute threads of every step; undefined: as many as do good. Steps on other threads measure nothing. */
  threads: number | undefined

  /** The parts belong to whoever made them. */
  constructor(parts: {
    stages: readonly Stage[]
    devices: readonly Device[]
    drafts?: DraftRunner | undefined
    heads?: Heads | undefined
  }) {
    const { stages } = parts
    this.stages = stages
    this.devices = parts.devices
    this.#drafts = parts.drafts
    this.#heads = parts.heads
    this.#logits = new Float32Array(stages[0]!.model.vocab.size)
    this.caches = {
      remove: (stage, slot, from) => stages[stage]!.remove(slot, from),
      share: (stage, source, to, from, end) => stages[stage]!.share(source, to, from, end),
      save: (stage, slot) => rowsState(stages[stage]!.context.sequenceState(slot)),
      restore: (stage, slot, state) => stages[stage]!.context.setSequenceState(slot, (state as RowsState).rows),
      saveCheckpoint: (stage, slot, over) =>
        rowsState(stages[stage]!.context.checkpoint(slot, (over as RowsState | undefined)?.rows)),
      restoreCheckpoint: (stage, slot, state, rows) =>
        stages[stage]!.context.restoreCheckpoint(slot, (state as RowsState).rows, rows),
    }
  }

  /** Of several devices each gets its part of them. */
  limitThreads(most: number): void {
    const each = Math.max(1, Math.floor(most / this.devices.length))
    for (const { governor } of this.devices) governor.most = each
    this.#drafts?.limitThreads(most)
  }

  /** Per stage the device it lives on. */
  get deviceOfStage(): readonly number[] {
    return this.stages.map(({ device }) => this.devices.indexOf(device))
  }

  get draftModel(): DraftModel | undefined {
    return this.#drafts
  }

  run(step: Step): void {
    this.#running.set(step, this.#decode(step))
  }

  async #decode(step: Step): Promise<EndedStep> {
    const stage = this.stages[step.stage]!
    const { threads } = this
    const start = performance.now()
    try {
      const { result, ms } = await stage.device.run(step, stage, this.stages[step.stage - 1], threads)
      return { step, result, ms, measured: threads === undefined }
    } catch (failure) {
      return { step, result: 'failed', ms: performance.now() - start, measured: false, failure }
    }
  }

  async ended(): Promise<EndedStep> {
    const ended = await Promise.race(this.#running.values())
    this.#running.delete(ended.step)
    return ended
  }

  /** Resolves when nothing runs; results are lost. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await this.ended()
  }

  abort(stage: number): void {
    this.stages[stage]!.context.abort()
  }

  storeHiddenStates(step: Step): void {
    const stage = this.stages[step.stage]!
    stage.storeHiddenStates(step, this.stages[step.stage - 1])
    if (!this.#heads || step.stage > 0) return
    for (const rows of step.rows) if (rows.valid > rows.from) this.#keepLastState(rows)
  }

  #keepLastState({ slot, valid }: Rows): void {
    const { model } = this.stages[0]!
    this.#lastStates[slot] ??= { index: 0, values: new Float32Array(model.embedding) }
    const last = this.#lastStates[slot]
    last.index = valid - 1
    last.values.set(this.stages[0]!.statesOf(slot).row(valid - 1))
  }

  headGuesses(slot: number, index: number): readonly HeadGuess[] | undefined {
    const last = this.#lastStates[slot]
    return last?.index === index ? this.#heads?.guess(last.values) : undefined
  }

  choose({ step, rows, index, reply }: Place, chooser: TokenChooser, wanted?: Wanted): Choice {
    return chooser.choose(this.#logitsOf({ step, rows, index }), reply, wanted)
  }

  score(row: OutputRow, token: number, count: number): ChosenLogprobs {
    return logprobsOf(this.#logitsOf(row), token, count)
  }

  /** Logits of the row of a token, until others are read. */
  #logitsOf({ step, rows, index }: OutputRow): Float32Array {
    let row = index - rows.from
    for (const before of step.rows) {
      if (before === rows) break
      row += before.to - before.from
    }
    return this.stages[step.stage]!.context.logits(row, this.#logits)
  }
}
