import { IncipitError } from '../../api/errors.ts'
import { architectureOf, type Gguf, metadataNumber } from '../../gguf/index.ts'
import { cellBytes, stateBytes } from '../../llama/cell-bytes.ts'

/** Bytes that a loaded model needs for certain, by what for. */
export interface MemoryNeed {
  /** Of the file: every token reads nearly all of it. */
  readonly weights: number
  /** A second model that drafts. */
  readonly draft: number
  /** The smallest KV cache that one sequence of full length fits into, with its recurrent states. */
  readonly cache: number
}

// Compute buffers of the smallest batch that is worth it, and llama.cpp itself.
const scratchBytes = 64 * 2 ** 20
const defaultContext = 8192

/**
 * What the header of a model's file says that it needs.
 * @param wanted by the caller
 * @param draftBytes size of the drafting model's file, 0 without one
 */
export function memoryNeed(
  gguf: Gguf,
  wanted: { readonly contextLength?: number | undefined; readonly cells?: number | undefined },
  draftBytes: number,
): MemoryNeed {
  const architecture = architectureOf(gguf)
  const trained = metadataNumber(gguf.metadata, `${architecture}.context_length`) ?? defaultContext
  const cells = wanted.cells ?? Math.min(wanted.contextLength ?? defaultContext, trained)
  const cache = cells * cellBytes(gguf.metadata, architecture) + stateBytes(gguf.metadata, architecture)
  return { weights: gguf.size, draft: draftBytes, cache }
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
