import { type Costs, throughAll } from '../cost/costs.ts'
import { bytesOf } from '../kv/checkpoint.ts'
import { PrefixTree } from '../kv/prefix-tree.ts'
import { isSaved, type SavedRows } from '../kv/saved-rows.ts'
import type { Sequence } from '../sequences/sequence.ts'
import type { SequenceTable } from '../sequences/sequence-table.ts'

/** A sequence in the KV cache whose rows others may share. */
interface Live {
  readonly sequence: Sequence
  readonly cacheNamespace: string
  used: number
  /** Its tokens changed since the tree was told. */
  changed: boolean
  /** A text that is still being written: it gives way to requests, and is told so. */
  readonly onEvicted: (() => void) | undefined
}

// Sharing fewer rows than this is not worth a copy.
export const minShared = 8

/**
 * Rows that may be used again: of requests that run and of texts that are still being written, which are in the KV cache;
 * and of requests that are over, which are kept outside of it, in ordinary memory, where they are in nobody's way
 * (attention walks over the cells of others, and slots are few). Rows are found only within one namespace (`salt`).
 */
export class PrefixCache {
  readonly #table: SequenceTable
  readonly #costs: Costs
  readonly #maxBytes: number
  readonly #tree = new PrefixTree<Sequence | SavedRows>()
  readonly #live = new Map<Sequence, Live>()
  readonly #kept = new Set<SavedRows>()
  #bytes = 0
  #uses = 0

  constructor(table: SequenceTable, options: { costs: Costs; bytes: number }) {
    this.#table = table
    this.#costs = options.costs
    this.#maxBytes = options.bytes
  }

  /** Bytes of rows that are kept outside the KV cache. */
  get bytes(): number {
    return this.#bytes
  }

  get kept(): ReadonlySet<SavedRows> {
    return this.#kept
  }

  // --- sequences in the KV cache ------------------------------------------------------------------------------------

  /**
   * A sequence whose computed rows others may share.
   * @param gone makes it a text that gives way to requests; called when it did
   */
  enter(sequence: Sequence, salt: string, gone?: () => void): void {
    this.#live.set(sequence, { sequence, cacheNamespace: salt, used: ++this.#uses, changed: true, onEvicted: gone })
  }

  /** The tokens of a sequence changed. */
  changed(sequence: Sequence): void {
    const live = this.#live.get(sequence)
    if (!live) return
    live.changed = true
    live.used = ++this.#uses
  }

  /** Takes a sequence out, because it ends. */
  leave(sequence: Sequence): void {
    if (this.#live.delete(sequence)) this.#tree.delete(sequence)
  }

  /**
   * Frees the place of the text that is missed least; what is computed of it is kept.
   * @param wanted `cells`: one that holds cells, rather of its own, but texts may share them; `slots`: any
   * @param spared goes only when no other can
   * @returns false when there is none
   */
  evictText(wanted: 'cells' | 'slots', spared?: Sequence | SavedRows): boolean {
    const { cells } = this.#table
    const shares = ({ sequence }: Live) => Number(wanted === 'cells' && cells.own(sequence.slot) === 0)
    const [victim] = [...this.#live.values()]
      .filter(({ sequence, onEvicted: gone }) => gone && !this.#table.inFlight(sequence))
      .filter(({ sequence }) => wanted === 'slots' || cells.rows(sequence.slot) > 0)
      .sort(
        (a, b) =>
          Number(a.sequence === spared) - Number(b.sequence === spared) || shares(a) - shares(b) || a.used - b.used,
      )
    if (victim === undefined) return false
    this.#table.dropUnfinishedRows(victim.sequence)
    this.keep(victim.sequence, victim.cacheNamespace)
    this.leave(victim.sequence)
    this.#table.remove(victim.sequence)
    victim.onEvicted!()
    return true
  }

  // --- rows outside the KV cache ------------------------------------------------------------------------------------

  /** Keeps a copy of what is computed of a sequence's certain tokens, from the moment no step runs in their caches. */
  keep(sequence: Sequence, salt: string): void {
    const rows = sequence.computed.at(-1)!
    if (rows < minShared) return
    const tokens = sequence.tokens.slice(0, rows)
    if (this.#isKept(salt, tokens)) return
    const checkpoints = sequence.checkpoints.filter(({ length }) => length < rows)
    this.#table.save(sequence, (states) => {
      this.put({ cacheNamespace: salt, tokens, states, checkpoints, pinned: false })
    })
  }

  /** Whether all these rows are kept already, with others behind them perhaps. */
  #isKept(salt: string, tokens: readonly number[]): boolean {
    const usable = (holder: Sequence | SavedRows, most: number) =>
      isSaved(holder) ? this.#table.usableRows(holder, most) : 0
    const found = this.#tree.longest(salt, tokens, usable)
    if (found?.length !== tokens.length) return false
    this.touch(found.holder)
    return true
  }

  /** Takes rows in, in place of those they continue. False when they are too many. */
  put(rows: Omit<SavedRows, 'bytes' | 'used'>): boolean {
    const bytes = bytesOf([{ states: rows.states, length: rows.tokens.length }, ...rows.checkpoints])
    if (bytes > this.#maxBytes) return false
    this.#refresh()
    const kept: SavedRows = { ...rows, bytes, used: ++this.#uses }
    for (const holder of [...this.#tree.within(rows.cacheNamespace, rows.tokens)]) {
      if (!isSaved(holder) || (holder.pinned && !rows.pinned)) continue
      const { length } = holder.tokens
      if (this.#table.usableRows(kept, length) === length) this.drop(holder)
    }
    while (this.#bytes + bytes > this.#maxBytes) this.#dropOne()
    this.#kept.add(kept)
    this.#bytes += bytes
    this.#tree.set(kept, kept.cacheNamespace, kept.tokens)
    return true
  }

  drop(kept: SavedRows): void {
    if (!this.#kept.delete(kept)) return
    this.#bytes -= kept.bytes
    this.#tree.delete(kept)
  }

  clear(): void {
    for (const kept of [...this.#kept]) this.drop(kept)
  }

  /** Drops what is missed least: long unused, large, soon computed again. Pinned rows go last. */
  #dropOne(): void {
    let victim: SavedRows | undefined
    let most = Number.NEGATIVE_INFINITY
    for (const kept of this.#kept) {
      const age = this.#uses - kept.used + 1
      const score =
        (age * kept.bytes) / throughAll(this.#table.stages, this.#costs, kept.tokens.length) -
        (kept.pinned ? Number.MAX_SAFE_INTEGER : 0)
      if (victim && score <= most) continue
      most = score
      victim = kept
    }
    if (victim) this.drop(victim)
  }

  // --- finding ------------------------------------------------------------------------------------------------------

  /**
   * Who has most of a prompt's beginning, and how much.
   * @param most rows that are of use: a request's last one has to run
   */
  find(
    salt: string,
    prompt: readonly number[],
    most = prompt.length,
  ): { holder: Sequence | SavedRows; length: number } | undefined {
    this.#refresh()
    const usable = (holder: Sequence | SavedRows, agreed: number) =>
      this.#table.usableRows(holder, Math.min(agreed, most))
    const found = this.#tree.longest(salt, prompt, usable)
    return found && found.length >= minShared ? found : undefined
  }

  /** A holder was of use. */
  touch(holder: Sequence | SavedRows): void {
    const entry = isSaved(holder) ? holder : this.#live.get(holder)
    if (entry) entry.used = ++this.#uses
  }

  #refresh(): void {
    for (const live of this.#live.values()) {
      if (!live.changed) continue
      live.changed = false
      const { sequence } = live
      // A tail may be replaced: it is nobody's beginning.
      const tokens = sequence.isInput ? sequence.tokens : sequence.tokens.slice(0, sequence.committed)
      this.#tree.set(sequence, live.cacheNamespace, tokens)
    }
  }
}
