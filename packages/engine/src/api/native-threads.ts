import type { EngineOptions } from './engine-options.ts'

/**
 * Environment of a process that does nothing else than run an engine: native calls on one thread for each device. Node has
 * four that take turns, so that every decode would begin on another core than the one before, often on the one where a
 * compute thread waits for it: a step in ten then took twice as long (in the mean 1 ms of 8, on two cores). Read by Node
 * when the first of these threads is wanted; what the user has set wins.
 */
export function nativeThreads(threads: EngineOptions['threads']): { readonly UV_THREADPOOL_SIZE: string } {
  return { UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? String([threads ?? 1].flat().length) }
}
