import { availableParallelism } from 'node:os'

/** Compute threads of who does not say how many: INCIPIT_THREADS, else all cores. */
export function defaultThreads(): number {
  const wanted = Number(process.env.INCIPIT_THREADS)
  return Number.isInteger(wanted) && wanted > 0 ? wanted : availableParallelism()
}
