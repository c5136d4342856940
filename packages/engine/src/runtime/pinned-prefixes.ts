import type { Log } from '../api/engine-options.ts'
import type { PrefixCache } from '../core/schedule/prefix-cache.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import { type LlamaExecutor, type RowsState, rowsState } from './llama-executor.ts'
import { PrefixStore } from './prefix-store.ts'
import type { ProfileOf } from './profile.ts'

// System prompts of a few thousand tokens each.
const maxBytes = 4 * 2 ** 30

export interface PinnedPrefixesOptions {
  readonly executor: LlamaExecutor
  readonly table: SequenceTable
  readonly prefixes: PrefixCache
  readonly slots: number
  readonly profileOf: ProfileOf
  readonly log: Log
}

/** Named prefixes that are kept for good, in memory and on disk. Only to be used while no step runs. */
export class PinnedPrefixes {
  readonly #options: PinnedPrefixesOptions
  #store: PrefixStore | undefined

  constructor(options: PinnedPrefixesOptions) {
    this.#options = options
  }

  async #open(): Promise<PrefixStore> {
    const { profileOf, slots, table, log } = this.#options
    const { cacheDir, hash, stages } = profileOf
    this.#store ??= await PrefixStore.open({
      cacheDir,
      hash,
      // llama.cpp refuses rows of a context with another number of caches.
      cells: table.sharesCells ? 'f16' : `f16, ${slots} caches`,
      stages,
      maxBytes,
      log,
    })
    return this.#store
  }

  /** Reads what earlier runs saved. A file that is damaged is named in the log, and its prefix computed when it is wanted. */
  async restoreAll(): Promise<void> {
    const { executor, prefixes, log } = this.#options
    const store = await this.#open()
    for (const { name } of store.list()) {
      const saved = await store.load(name)
      if (saved === undefined) continue
      try {
        const states: RowsState[] = []
        for (const [stage, { context }] of executor.stages.entries()) {
          const tokens = await context.restoreSequence(0, saved.files[stage]!)
          if (tokens === undefined) throw new Error('the KV cache has no room for it')
          states.push(rowsState(context.sequenceState(0)))
          context.sequenceRemove(0, 0)
        }
        prefixes.put({ cacheNamespace: saved.salt, tokens: saved.tokens, states, checkpoints: [], pinned: true })
      } catch (error) {
        log('warn', `the saved prefix '${name}' is removed: ${(error as Error).message}`)
        await store.remove(name)
      }
    }
  }

  /** The rows of these tokens, which were just computed, stay for good. False when there is no room to keep them. */
  async pin(name: string, cacheNamespace: string, tokens: readonly number[]): Promise<boolean> {
    const { executor, table, prefixes } = this.#options
    const found = prefixes.find(cacheNamespace, tokens)
    if (!found || found.length < tokens.length) return false
    const sequence = table.addInput(found)
    if (sequence === undefined) return false
    try {
      if (sequence.computed.at(-1)! < tokens.length) return false
      let kept = false
      table.save(sequence, (states) => {
        kept = prefixes.put({ cacheNamespace, tokens: [...tokens], states, checkpoints: [], pinned: true })
      })
      if (!kept) return false
      const store = await this.#open()
      await store.save(name, { tokens, salt: cacheNamespace }, (stage, path) =>
        executor.stages[stage]!.context.saveSequence(sequence.slot, path, tokens),
      )
      return true
    } finally {
      table.remove(sequence)
    }
  }
}
