import { machineConstants } from '../../../src/core/schedule/machine-constants.ts'
import { Engine } from '../../../src/index.ts'
import { load } from '../../../src/runtime/load/load.ts'
import { saveProfile } from '../../../src/runtime/profile.ts'
import { firstTokens } from './first-token.ts'
import { cacheDirOf, type Task } from './part.ts'

/** First words where a step has more rows than on a CPU. A saved profile may carry what steps may be. */
export async function batches(task: Task): Promise<void> {
  const options = {
    cacheDir: cacheDirOf(task),
    cut: 'none' as const,
    contextLength: Math.max(...task.scale.lengths) + 512,
    parallel: 1,
    threads: task.threads,
  }
  // The usual ones last, and they stay.
  for (const batchRows of [4 * machineConstants.batchRows, machineConstants.batchRows]) {
    const parts = await load(task.model, options)
    const { profileOf } = parts
    parts.dispose()
    const machine = { ...machineConstants, batchRows }
    await saveProfile(profileOf, { costs: [], acceptances: {}, machine }, () => {})
    await using engine = await Engine.load(task.model, options)
    await firstTokens(task, [{ name: `none, ${batchRows} rows a step`, engine, proposers: [] }])
  }
}
