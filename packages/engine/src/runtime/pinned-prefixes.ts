import type { PrefixCache, SavedState } from '../core/kv/prefix-cache.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { EngineParts } from './load/load.ts'
import { PrefixStore } from './prefix-store.ts'

/** Rows of a slot outside the KV cache, as llama.cpp serialises them. */
export interface RowsState extends SavedState {
  readonly rows: Uint8Array
}

export function keptState(rows: Uint8Array): RowsState {
  return { rows, bytes: rows.length }
}

// System prompts of a few thousand tokens each.
const maxBytes = 4 * 2 ** 30

/** Named prefixes that are kept for good, in memory and on disk. Only to be used while no step runs. */
export class PinnedPrefixes {
  readonly #loaded: EngineParts
  readonly #core: SequenceTable
  readonly #prefixes: PrefixCache
  #store: PrefixStore | undefined

  constructor(loaded: EngineParts, core: SequenceTable, prefixes: PrefixCache) {
    this.#loaded = loaded
    this.#core = core
    this.#prefixes = prefixes
  }

  async #open(): Promise<PrefixStore> {
    const { profileOf, info, log, unified, slots } = this.#loaded
    const { cacheDir, hash } = profileOf
    this.#store ??= await PrefixStore.open({
      cacheDir,
      hash,
      // llama.cpp refuses rows of a context with another number of caches.
      cells: unified ? 'f16' : `f16, ${slots} caches`,
      stages: info.stages,
      maxBytes: maxBytes,
      log,
    })
    return this.#store
  }

  /** Reads what earlier runs saved. A file that is damaged is named in the log, and its prefix computed when it is wanted. */
  async restoreAll(): Promise<void> {
    if (this.#loaded.keptBytes === 0) return
    const store = await this.#open()
    for (const { name } of store.list()) {
      const saved = await store.load(name)
      if (saved === undefined) continue
      try {
        const states: RowsState[] = []
        for (const [stage, { context }] of this.#loaded.stages.entries()) {
          const tokens = await context.restoreSequence(0, saved.files[stage]!)
          if (tokens === undefined) throw new Error('the KV cache has no room for it')
          states.push(keptState(context.sequenceState(0)))
          context.sequenceRemove(0, 0)
        }
        this.#prefixes.put({ cacheNamespace: saved.salt, tokens: saved.tokens, states, pinned: true })
      } catch (error) {
        this.#loaded.log('warn', `the saved prefix '${name}' is removed: ${(error as Error).message}`)
        await store.remove(name)
      }
    }
  }

  /** The rows of these tokens, which were just computed, stay for good. False when there is no room to keep them. */
  async pin(name: string, salt: string, tokens: readonly number[]): Promise<boolean> {
    const found = this.#prefixes.find(salt, tokens)
    if (!found || found.length < tokens.length) return false
    const sequence = this.#core.addInput(found)
    if (sequence === undefined) return false
    try {
      if (sequence.computed.at(-1)! < tokens.length) return false
      let kept = false
      this.#core.save(sequence, (states) => {
        kept = this.#prefixes.put({ cacheNamespace: salt, tokens: [...tokens], states, pinned: true })
      })
      if (!kept) return false
      const { stages } = this.#loaded
      const store = await this.#open()
      await store.save(name, { tokens, salt }, (stage, path) =>
        stages[stage]!.context.saveSequence(sequence.slot, path, tokens),
      )
      return true
    } finally {
      this.#core.remove(sequence)
    }
  }
}
