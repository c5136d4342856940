import { IncipitError } from '../../api/errors.ts'
import { architectureOf, type Gguf, metadataNumber } from '../../gguf/index.ts'
import { cellBytes, stateBytes } from '../../llama/cell-bytes.ts'
import type { Offload } from '../../llama/offload.ts'

/** Bytes of main memory that a loaded model needs for certain, by what for. */
export interface MemoryNeed {
  /** Of the file, but for what GPUs take: every token reads nearly all of it. */
  readonly weights: number
  /** The same of a second model that drafts. */
  readonly draft: number
  /** The smallest KV cache that one sequence of full length fits into, with its recurrent states; of it what no GPU takes. */
  readonly cache: number
}

/** A model's header, and what of it GPUs take. */
export interface Placed {
  readonly gguf: Gguf
  readonly offload: Offload | undefined
}

// Compute buffers of the smallest batch that is worth it, and llama.cpp itself.
const scratchBytes = 64 * 2 ** 20
const defaultContext = 8192

/** KV cells that a model must have at least. */
export function cellsWanted(
  { metadata }: Gguf,
  architecture: string,
  wanted: { readonly contextLength?: number | undefined; readonly cells?: number | undefined },
): number {
  const trained = metadataNumber(metadata, `${architecture}.context_length`) ?? defaultContext
  return wanted.cells ?? Math.min(wanted.contextLength ?? defaultContext, trained)
}

/**
 * What the headers of models' files say that they need.
 * @param cells of the KV cache
 * @param draft the model that drafts
 */
export function memoryNeed({ gguf, offload }: Placed, cells: number, draft?: Placed): MemoryNeed {
  const architecture = architectureOf(gguf)
  const cache = cells * cellBytes(gguf.metadata, architecture) + stateBytes(gguf.metadata, architecture)
  return {
    weights: offload?.mainBytes ?? gguf.size,
    draft: draft === undefined ? 0 : (draft.offload?.mainBytes ?? draft.gguf.size),
    cache: (1 - (offload?.cacheShare ?? 0)) * cache,
  }
}

/**
 * Refuses what cannot fit, before anything is loaded: once it is, the machine may not live to say so.
 * @param memory bytes that this process may use at most
 * @throws IncipitError `context_memory`, with what it would need
 */
export function requireMemory({ weights, draft, cache }: MemoryNeed, memory: number): void {
  const need = weights + draft + cache + scratchBytes
  if (need <= memory) return
  const parts = [
    `${size(weights)} for the model`,
    ...(draft > 0 ? [`${size(draft)} for the model that drafts`] : []),
    `${size(cache)} for the context`,
  ]
  const advice = weights + draft + scratchBytes > memory ? 'use a smaller model' : 'ask for a smaller context'
  const message = `this needs ${size(need)} (${parts.join(', ')}), and this process may use ${size(memory)}; ${advice}`
  throw new IncipitError('context_memory', message)
}

function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`
}
