/** What a step may take, in times of what the cost model expects. */
const tolerance = 20
/** How often a step is looked at while it may take so long. */
const looks = 5

interface Stepping {
  longestStep(): { readonly ms: number; readonly expectedMs: number } | undefined
}

/**
 * Looks at the step that runs, which is native code on another thread, from the event loop.
 * @param hangMs no step hangs before
 * @param late called again and again while a step hangs
 * @returns stops it
 */
export function watchSteps(
  engine: Stepping,
  hangMs: number,
  late: (ms: number, expectedMs: number) => void,
): () => void {
  const timer = setInterval(() => {
    const step = engine.longestStep()
    if (step && step.ms > Math.max(hangMs, tolerance * step.expectedMs)) late(step.ms, step.expectedMs)
  }, hangMs / looks)
  return () => clearInterval(timer)
}
