import { type Costs, throughAll } from '../cost/costs.ts'
import { bytesOf } from '../kv/checkpoint.ts'
import { PrefixTree } from '../kv/prefix-tree.ts'
import { isSaved, type SavedRows } from '../kv/saved-rows.ts'
import type { Sequence } from '../sequences/sequence.ts'
import { commonPrefix, type SequenceTable } from '../sequences/sequence-table.ts'

/** A sequence in the KV cache whose rows others may share. */
interface Live {
  readonly sequence: Sequence
  readonly cacheNamespace: string
  used: number
  /** Its tokens changed since the tree was told. */
  changed: boolean
  /** A text that is still being written: it gives way to requests, and is told so. */
  readonly onEvicted: (() => void) | undefined
  /** A request that is over, whose rows stay where they are while nobody needs their place. */
  resting: boolean
}

// Slots that no request that is over keeps from others.
const spareSlots = 2

// Sharing fewer rows than this is not worth a copy.
export const minShared = 8

/**
 * Rows that may be used again: of requests that run and of texts that are still being written, which are in the KV cache;
 * and of requests that are over. Those are kept outside of it, in ordinary memory, where they are in nobody's way
 * (attention walks over the cells of others, and slots are few), and beside that rest where they are until somebody begins
 * who does not go on from them. Rows are found only within one namespace (`salt`).
 */
export class PrefixCache {
  readonly #table: SequenceTable
  readonly #costs: Costs
  readonly #maxBytes: number
  readonly #worthCopying: (bytes: number) => number
  readonly #tree = new PrefixTree<Sequence | SavedRows>()
  readonly #live = new Map<Sequence, Live>()
  readonly #kept = new Set<SavedRows>()
  #bytes = 0
  #uses = 0

  /** @param options.worthCopying rows whose loss costs as much as a copy of so many bytes. Default: any */
  constructor(
    table: SequenceTable,
    options: { costs: Costs; bytes: number; worthCopying?: (bytes: number) => number },
  ) {
    this.#table = table
    this.#worthCopying = options.worthCopying ?? (() => 0)
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
    const used = ++this.#uses
    this.#live.set(sequence, { sequence, cacheNamespace: salt, used, changed: true, onEvicted: gone, resting: false })
  }

  /**
   * A request is over, and its rows are kept. In a unified cache they stay where they are, too, as long as nobody needs the
   * place: whoever goes on from them need not copy them, and can do so from more of them than from a copy. Then a copy is
   * made only where one that there is lacks enough of them.
   * @returns false where they do not
   */
  rest(sequence: Sequence, salt: string): boolean {
    const live = this.#live.get(sequence)
    if (!live || !this.#table.sharesCells || this.#table.inFlight(sequence)) return false
    for (const { sequence: other, cacheNamespace } of [...this.#live.values()].filter(({ resting }) => resting)) {
      if (cacheNamespace !== salt || !isWithin(other, sequence)) continue
      this.#table.leaveCheckpoint(other, sequence)
      this.#end(other)
    }
    if (sequence.computed.at(-1)! < minShared || this.#table.freeSlots < spareSlots) return false
    this.keep(sequence, salt, this.#worthCopying)
    this.#table.rest(sequence)
    live.resting = true
    live.changed = true
    return true
  }

  /** Slots of requests that are over. */
  get restingSlots(): number[] {
    return [...this.#live.values()].filter(({ resting }) => resting).map(({ sequence }) => sequence.slot)
  }

  /**
   * Requests that are over give their place back; their rows are kept outside.
   * @param spared does not
   */
  evictResting(spared?: Sequence | SavedRows): void {
    for (const { sequence, resting } of [...this.#live.values()]) {
      if (resting && sequence !== spared) this.#end(sequence)
    }
  }

  #end(sequence: Sequence): void {
    this.leave(sequence)
    this.#table.remove(sequence)
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
   * Frees the place of a request that is over, or of the text that is missed least; what is computed of it is kept.
   * @param wanted `cells`: one that holds cells, rather of its own, but texts may share them; `slots`: any
   * @param spared goes only when no other can
   * @returns false when there is none
   */
  evictText(wanted: 'cells' | 'slots', spared?: Sequence | SavedRows): boolean {
    const { cells } = this.#table
    const shares = ({ sequence }: Live) => Number(wanted === 'cells' && cells.own(sequence.slot) === 0)
    const [victim] = [...this.#live.values()]
      .filter(({ sequence, onEvicted, resting }) => (onEvicted || resting) && !this.#table.inFlight(sequence))
      .filter(({ sequence }) => wanted === 'slots' || cells.rows(sequence.slot) > 0)
      .sort(
        (a, b) =>
          Number(a.sequence === spared) - Number(b.sequence === spared) ||
          Number(b.resting) - Number(a.resting) ||
          shares(a) - shares(b) ||
          a.used - b.used,
      )
    if (victim === undefined) return false
    this.#table.dropUnfinishedRows(victim.sequence)
    this.keep(victim.sequence, victim.cacheNamespace)
    this.#end(victim.sequence)
    victim.onEvicted?.()
    return true
  }

  // --- rows outside the KV cache ------------------------------------------------------------------------------------

  /**
   * Keeps a copy of what is computed of a sequence's certain tokens, from the moment no step runs in their caches.
   * @param worthCopying where a copy that there is lacks fewer rows, that one was of use. Default: where it lacks none
   */
  keep(sequence: Sequence, salt: string, worthCopying: (bytes: number) => number = () => 0): void {
    const rows = sequence.computed.at(-1)!
    if (rows < minShared) return
    const tokens = sequence.tokens.slice(0, rows)
    const found = this.#longestKept(salt, tokens)
    if (found) {
      const { holder, length } = found
      const bytes = (holder.bytes / holder.tokens.length) * rows
      if (rows - length < Math.max(1, worthCopying(bytes))) {
        this.touch(holder)
        return
      }
    }
    const checkpoints = sequence.checkpoints.filter(({ length }) => length < rows)
    this.#table.save(sequence, (states) => {
      this.put({ cacheNamespace: salt, tokens, states, checkpoints, pinned: false })
    })
  }

  /** The longest beginning of these tokens that is kept, with others behind it perhaps. */
  #longestKept(salt: string, tokens: readonly number[]): { holder: SavedRows; length: number } | undefined {
    const usable = (holder: Sequence | SavedRows, most: number) =>
      isSaved(holder) ? this.#table.usableRows(holder, most) : 0
    const found = this.#tree.longest(salt, tokens, usable)
    return found && found.length > 0 && isSaved(found.holder)
      ? { holder: found.holder, length: found.length }
      : undefined
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
    this.evictResting()
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
    // Rows in the cache need not be copied.
    const found = this.#tree.longest(salt, prompt, usable, (holder) => !isSaved(holder))
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

/** Whether all rows of a sequence are rows of another one. */
function isWithin(one: Sequence, other: Sequence): boolean {
  const rows = one.computed.at(-1)!
  return rows <= other.computed.at(-1)! && commonPrefix(one.tokens, other.tokens) >= rows
}
