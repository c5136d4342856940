import { minShared, type PrefixCache } from '../core/kv/prefix-cache.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { InputPrefill } from './input-prefill.ts'

// Slots that are left to requests and their looks.
const spareSlots = 2

/**
 * The texts that are computed ahead. Their rows are entries of the prefix cache: they use what requests leave, others
 * share them, and what was evicted is computed again when the text changes next.
 */
export class InputPrefills {
  readonly #core: SequenceTable
  readonly #prefixes: PrefixCache
  readonly #texts = new Set<InputPrefill>()

  constructor(core: SequenceTable, prefixes: PrefixCache) {
    this.#core = core
    this.#prefixes = prefixes
  }

  /** Takes a text in, or takes note of a change of it. */
  follow(text: InputPrefill): void {
    this.#texts.add(text)
    text.changed = true
  }

  /** Lets a text go. */
  forget(text: InputPrefill): void {
    this.#texts.delete(text)
    this.evict(text)
  }

  clear(): void {
    for (const text of [...this.#texts]) this.forget(text)
  }

  /** Frees a text's rows. */
  evict(text: InputPrefill): void {
    const { sequence } = text
    if (sequence === undefined) return
    this.#prefixes.leave(sequence)
    this.#core.remove(sequence)
    text.sequence = undefined
  }

  /** The text a sequence belongs to. */
  of(sequence: Sequence): InputPrefill | undefined {
    for (const text of this.#texts) if (text.sequence === sequence) return text
    return undefined
  }

  /**
   * Lets the sequences follow their texts.
   * @param room KV cells that a text may fill
   */
  revise(room: number): void {
    for (const text of this.#texts) {
      if (!text.changed || room < minShared) continue
      if (text.sequence === undefined && !this.#begin(text)) continue
      text.changed = false
      text.tokens = wantedTokens(text)
      this.#core.revise(text.sequence!, text.tokens.slice(0, room))
      this.#prefixes.changed(text.sequence!)
    }
  }

  /** Gives a text a sequence, with what is computed of it already. False when there is no slot. */
  #begin(text: InputPrefill): boolean {
    if (this.#core.freeSlots <= spareSlots && !this.#prefixes.evictText('slots')) return false
    const found = this.#prefixes.find(text.cacheNamespace, wantedTokens(text))
    const sequence = this.#core.addInput(found)
    if (sequence === undefined) return false
    if (found) this.#prefixes.touch(found.holder)
    text.sequence = sequence
    const gone = () => {
      text.sequence = undefined
    }
    this.#prefixes.enter(sequence, text.cacheNamespace, gone)
    return true
  }
}

/** A text that cannot be tokenised (its template refuses it) is not computed ahead; the request itself will say why. */
function wantedTokens(text: InputPrefill): readonly number[] {
  try {
    return text.wanted()
  } catch {
    return []
  }
}
