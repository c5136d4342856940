import { load } from '../../../src/runtime/load/load.ts'
import { measureProfile } from '../../machine-profile.ts'
import { row, say } from '../results.ts'
import { cacheDirOf, ms, type Task } from './part.ts'

// Rent of such a machine, as the profiles by arithmetic have it.
const dollarsPerHour = 3.5

/** What rows of a step cost, at the beginning of a text and far behind it; a profile that `incipit simulate` takes. */
export async function costs(task: Task): Promise<void> {
  const { part, scale, model, threads } = task
  const parts = await load(model, { cacheDir: cacheDirOf(task), threads, cut: 'none', ...scale.profile })
  const name = `measured-${part.shape}`
  const profile = await measureProfile(parts, {
    name,
    repeats: 2 * scale.runs,
    dollarsPerHour,
    longest: scale.profile.contextLength / 2,
  })
  const [points = []] = profile.costs
  row('Milliseconds by rows of a step', {
    shape: part.shape,
    ...Object.fromEntries(points.map(({ rows, ms: time }) => [`${rows} rows`, ms(time)])),
  })
  const [attention] = profile.attention
  row('Attention', {
    shape: part.shape,
    'ns by row and cell, single rows': ms(1e6 * (attention?.loosePairMs ?? 0)),
    'many rows': ms(1e6 * (attention?.pairMs ?? 0)),
  })
  say({ kind: 'file', name: `profile-${part.shape}.json`, content: profile })
  parts.dispose()
}
