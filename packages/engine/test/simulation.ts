import assert from 'node:assert/strict'
import type { Caches } from '../src/flow/core.ts'
import type { Step } from '../src/flow/sequence.ts'
import { States } from '../src/stage/states.ts'

/** Few tokens, so that a wrong guess meets the right one now and then. */
export const vocabulary = 6

// 24 bits: a state travels as a float, which is exact up to there.
function mix(a: number, b: number): number {
  let value = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35)
  value = Math.imul(value ^ (value >>> 15), 0x27d4eb2f)
  return (value ^ (value >>> 13)) & 0xffffff
}

/** A layer range: its row at a position is a function of its row before and of what enters. */
function layer(stage: number, before: number | undefined, input: number): number {
  return mix(before ?? stage + 1, mix(stage + 101, input))
}

function tokenOf(row: number): number {
  return mix(row, 7) % vocabulary
}

/** The token that a sequential decoder puts after a prefix: the model run over it from the beginning, all stages. */
export function nextToken(prefix: readonly number[], stages: number): number {
  const rows = new Array<number | undefined>(stages).fill(undefined)
  for (const token of prefix) {
    let input = token
    for (let stage = 0; stage < stages; stage++) {
      rows[stage] = layer(stage, rows[stage], input)
      input = rows[stage]!
    }
  }
  return tokenOf(rows.at(-1)!)
}

/** A prompt and what sequential decoding makes of it. */
export function decodeAlone(prompt: readonly number[], length: number, stages: number): number[] {
  const tokens = [...prompt]
  while (tokens.length < prompt.length + length) tokens.push(nextToken(tokens, stages))
  return tokens
}

/**
 * A device without weights. Each stage keeps, per slot, one number per position that depends on every token up to
 * there, as a real KV cache does: a stale or missing row changes everything that is computed after it. States wait
 * between stages in the engine's own `States`.
 */
export class SimulatedDevice implements Caches {
  readonly stages: number
  readonly #cache: number[][][]
  readonly #states: States[][]
  #running = false
  /** Rows with output of the last step, by slot and position. */
  #outputs = new Map<string, number>()

  constructor(stages: number, slots: number) {
    this.stages = stages
    this.#cache = Array.from({ length: stages }, () => Array.from({ length: slots }, () => []))
    this.#states = Array.from({ length: stages }, () => Array.from({ length: slots }, () => new States(1)))
  }

  /** A decode begins: until it ends nobody may touch a cache. */
  begin(): void {
    assert.equal(this.#running, false, 'two steps at once')
    this.#running = true
    this.#outputs.clear()
  }

  /** The decode ends with all rows of the step in the cache, or, aborted, with any number of them. */
  end(step: Step, abortedAfter?: number): void {
    assert.equal(this.#running, true)
    this.#running = false
    let left = abortedAfter ?? Number.POSITIVE_INFINITY
    for (const { sequence, from, to, output } of step.rows) {
      const cache = this.#cache[step.stage]![sequence.slot]!
      assert.equal(cache.length, from, `stage ${step.stage} slot ${sequence.slot}: rows do not follow the cache`)
      const states = this.#states[step.stage]![sequence.slot]!
      for (let position = from; position < to && left > 0; position++, left--) {
        cache.push(layer(step.stage, cache.at(-1), this.#input(step.stage, sequence.slot, position, sequence.tokens)))
        if (position >= output) this.#outputs.set(`${sequence.slot}:${position}`, cache.at(-1)!)
      }
      if (abortedAfter !== undefined) continue
      if (step.stage < this.stages - 1) states.append(from, to).set(cache.slice(from, to))
      if (step.stage > 0) this.#states[step.stage - 1]![sequence.slot]!.release(to)
    }
  }

  #input(stage: number, slot: number, position: number, tokens: readonly number[]): number {
    if (stage > 0) return this.#states[stage - 1]![slot]!.row(position)[0]!
    assert.ok(position < tokens.length, 'a row without a token')
    return tokens[position]!
  }

  /** The token that a row of the last step decides, or undefined when it had no output. */
  tokenAfter(slot: number, position: number): number | undefined {
    const row = this.#outputs.get(`${slot}:${position}`)
    return row === undefined ? undefined : tokenOf(row)
  }

  /** Number of rows a stage holds for a slot. */
  rows(stage: number, slot: number): number {
    return this.#cache[stage]![slot]!.length
  }

  remove(stage: number, slot: number, from: number): void {
    assert.equal(this.#running, false, 'a cache was touched while a step was running')
    const cache = this.#cache[stage]![slot]!
    cache.length = Math.min(cache.length, from)
    this.#states[stage]![slot]!.truncate(from)
  }

  share(stage: number, from: number, to: number, end: number): void {
    assert.equal(this.#running, false, 'a cache was touched while a step was running')
    assert.equal(this.rows(stage, to), 0, 'the slot of a fork still holds rows')
    assert.ok(this.rows(stage, from) >= end, 'rows are shared that are not there')
    this.#cache[stage]![to] = this.#cache[stage]![from]!.slice(0, end)
  }
}
