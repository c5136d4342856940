import { minShared, type PrefixCache } from '../core/schedule/prefix-cache.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { InputPrefill } from './input-prefill.ts'

// Slots that are left to requests and their lookaheads.
const spareSlots = 2
const unsureTokens = 2

/**
 * The texts that are computed ahead. Their rows are entries of the prefix cache: they use what requests leave, others
 * share them, and what was evicted is computed again when the text changes next.
 */
export class InputPrefills {
  readonly #table: SequenceTable
  readonly #prefixes: PrefixCache
  readonly #inputs = new Set<InputPrefill>()

  constructor(table: SequenceTable, prefixes: PrefixCache) {
    this.#table = table
    this.#prefixes = prefixes
  }

  /** Takes a text in, or takes note of a change of it. */
  follow(input: InputPrefill): void {
    this.#inputs.add(input)
    input.changed = true
  }

  /** Lets a text go. */
  forget(input: InputPrefill): void {
    this.#inputs.delete(input)
    this.evict(input)
  }

  clear(): void {
    for (const input of [...this.#inputs]) this.forget(input)
  }

  /** Frees a text's rows. */
  evict(input: InputPrefill): void {
    const { sequence } = input
    if (sequence === undefined) return
    this.#prefixes.leave(sequence)
    this.#table.remove(sequence)
    input.sequence = undefined
  }

  /** The text a sequence belongs to. */
  of(sequence: Sequence): InputPrefill | undefined {
    for (const input of this.#inputs) if (input.sequence === sequence) return input
    return undefined
  }

  /**
   * Lets the sequences follow their texts.
   * @param room KV cells that a text may fill
   */
  revise(room: number): void {
    for (const input of this.#inputs) {
      if (!input.changed || room < minShared) continue
      if (input.sequence === undefined && !this.#makeSlot()) continue
      const wanted = input.wanted()
      if (input.sequence === undefined && !this.#begin(input, wanted)) continue
      input.changed = false
      input.tokens = wanted
      this.#table.revise(input.sequence!, wanted.slice(0, Math.min(room, wanted.length - this.#unsure)))
      this.#prefixes.changed(input.sequence!)
    }
  }

  /** Last tokens of a text that the next keystroke may change: where that cannot be undone they are not computed ahead. */
  get #unsure(): number {
    return this.#table.dropsRows ? 0 : unsureTokens
  }

  #makeSlot(): boolean {
    return this.#table.freeSlots > spareSlots || this.#prefixes.evictText('slots')
  }

  /** Gives a text a sequence, with what is computed of it already. False when there is no slot. */
  #begin(input: InputPrefill, wanted: readonly number[]): boolean {
    const found = this.#prefixes.find(input.cacheNamespace, wanted, wanted.length - this.#unsure)
    this.#prefixes.evictResting(found?.holder)
    const sequence = this.#table.addInput(found)
    if (sequence === undefined) return false
    if (found) this.#prefixes.touch(found.holder)
    input.sequence = sequence
    this.#prefixes.enter(sequence, input.cacheNamespace, () => {
      input.sequence = undefined
    })
    return true
  }
}
