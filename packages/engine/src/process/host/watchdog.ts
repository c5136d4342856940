import type { Overdue } from '../../serving/loop.ts'

/** What a step may take, in times of what the cost model expects. */
const tolerance = 20
/** What something may take of which nothing is expected, such as rows that are written to disk: in times of `hangMs`. */
const toleranceUnknown = 12
/** How often a step is looked at while it may take so long. */
const looks = 5

interface Running {
  mostOverdue(): Overdue | undefined
}

/**
 * Looks at what runs, which is native code on another thread, from the event loop.
 * @param hangMs nothing hangs before
 * @param late called again and again while something hangs
 * @returns stops it
 */
export function watchSteps(engine: Running, hangMs: number, late: (ms: number, mostMs: number) => void): () => void {
  const timer = setInterval(() => {
    const running = engine.mostOverdue()
    if (running === undefined) return
    const { ms, expectedMs } = running
    const mostMs = expectedMs === undefined ? toleranceUnknown * hangMs : Math.max(hangMs, tolerance * expectedMs)
    if (ms > mostMs) late(ms, mostMs)
  }, hangMs / looks)
  return () => clearInterval(timer)
}
