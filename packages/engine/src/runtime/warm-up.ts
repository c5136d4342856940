import type { Loop } from '../serving/loop.ts'
import { runPrompt } from '../serving/run-prompt.ts'
import type { LlamaExecutor } from './llama-executor.ts'

// One thread first: it pages the weights in, and it is what the governor of compute threads compares with.
const onOneThread = [32, 1, 8]
const onAllThreads = [1, 4, 32, 1, 8]
// The cost model takes the fastest of the first runs of a width: what disturbs one takes milliseconds, and matters where a
// run takes hardly longer.
const mostRounds = 3
const longRoundMs = 500

/**
 * Runs every stage at a few sizes: pages the weights in, and gives the cost model its first numbers where no earlier run
 * left any.
 * @param token any that is in the vocabulary
 * @param known what rows cost is known from an earlier run
 */
export async function warmUp(loop: Loop, executor: LlamaExecutor, token: number, known: boolean): Promise<void> {
  const run = (rows: number) => runPrompt(loop, new Array<number>(rows).fill(token))
  executor.threads = 1
  for (const rows of onOneThread) await run(rows)
  executor.threads = undefined
  if (known) return run(1)
  for (let round = 0; round < mostRounds; round++) {
    const start = performance.now()
    for (const rows of onAllThreads) await run(rows)
    if (performance.now() - start > longRoundMs) return
  }
}
