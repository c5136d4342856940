import { TokenChooser } from '../../../src/core/sampling/token-chooser.ts'
import { load } from '../../../src/runtime/load/load.ts'
import { median } from '../../numbers.ts'
import { row } from '../results.ts'
import { cacheDirOf, ms, type Task } from './part.ts'

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }
const experts = [2, 4] as const
const guesses = [1, 2, 4] as const
const textTokens = 256

/** What drafts of the same mixture with fewer experts cost: milliseconds for so many guesses, behind one new token. */
export async function expertDrafts(task: Task): Promise<void> {
  for (const active of experts) {
    const parts = await load(task.model, {
      cacheDir: cacheDirOf(task),
      cut: 'none',
      contextLength: 1024,
      parallel: 1,
      threads: task.threads,
      experts: active,
    })
    const drafter = parts.executor.draftModel!
    const text = Array.from({ length: textTokens }, (_, i) => 1000 + ((i * 37) % 3000))
    const timeOf = async (count: number) => {
      text.push(1000 + text.length)
      const chooser = new TokenChooser({ sampling: greedy, prompt: text })
      const begin = performance.now()
      await drafter.propose([{ slot: 0, tokens: text, prompt: textTokens, count, chooser }], 0)
      return performance.now() - begin
    }
    await timeOf(1)
    const columns: [string, number][] = []
    for (const count of guesses) {
      const times: number[] = []
      for (let i = 0; i <= 4 * task.scale.runs; i++) times.push(await timeOf(count))
      columns.push([`${count} guesses, ms`, ms(median(times.slice(1)))])
    }
    row('Drafts with fewer experts', { shape: task.part.shape, experts: active, ...Object.fromEntries(columns) })
    parts.dispose()
  }
}
