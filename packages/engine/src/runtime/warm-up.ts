import type { CostModel } from '../core/cost/cost-model.ts'
import { meanDepth, rowsOf } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { EngineParts } from './load/load.ts'

/**
 * Runs every stage at a few sizes: pages the weights in, and gives the cost model its first numbers where no earlier run
 * left any.
 */
export async function warmUp(
  { stages, devices, profile }: EngineParts,
  core: SequenceTable,
  costs: CostModel,
): Promise<void> {
  const token = Math.max(0, stages[0]!.model.vocab.bos)
  // One thread first: it pages the weights in, and it is what the governor compares with.
  const sizes = [[32, 1], [1, 1], [8, 1], [1], [4], [32], [1], [8]] as const
  if (profile) costs.load(profile.costs)
  for (const [rows, threads] of profile ? sizes.slice(0, 4) : sizes) {
    const sequence = core.add(new Array<number>(rows).fill(token))!
    for (let stage = 0; stage < stages.length; ) {
      const { device } = stages[stage]!
      const step = core.next(devices.indexOf(device))!
      const { result, ms } = await device.run(step, stages[stage]!, stages[stage - 1], threads)
      if (result === 'done') {
        stages[stage]!.storeHiddenStates(step, stages[stage - 1])
        core.ran(step, performance.now())
        if (threads === undefined) costs.observe(stage, rowsOf(step), ms, meanDepth(step))
        if (sequence.computed[stage] === rows) stage++
      } else core.aborted(step)
    }
    core.remove(sequence)
  }
}
