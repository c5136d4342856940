import { IncipitError } from '../api/errors.ts'
import type { ComputeDevice } from './back-ends.ts'
import { gpusOf, type Offload } from './offload.ts'

/** What is free at the moment. */
interface Room {
  /** Bytes of main memory. */
  readonly available: number
  readonly devices: readonly ComputeDevice[]
}

// Compute buffers of a context beside its KV cache: logits of a micro batch and scratch; a generous guess.
const scratchBytes = 256 * 2 ** 20

/**
 * Refuses a context that does not fit: the cache of a layer lies where the layer does.
 * @param cache bytes of the KV cache and the states
 * @throws IncipitError `context_memory`
 */
export function requireContextMemory(
  { cells, cache }: { readonly cells: number; readonly cache: number },
  offload: Offload | undefined,
  { available, devices }: Room,
): void {
  const share = offload?.cacheShare ?? 0
  const refuse = (needed: number, has: string) => {
    const message = `a context of ${cells} tokens needs ${gigabytes(needed)}, but ${has}; ask for a smaller context`
    return new IncipitError('context_memory', message)
  }
  const inMain = (1 - share) * cache + scratchBytes
  if (inMain > available) throw refuse(inMain, `${gigabytes(available)} are available`)
  const gpus = gpusOf(devices)
  if (share === 0 || gpus === undefined) return
  const onGpus = share * cache + scratchBytes
  if (onGpus <= gpus.free) return
  throw refuse(onGpus, `${gigabytes(gpus.free)} are free on ${gpus.names}`)
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`
}
