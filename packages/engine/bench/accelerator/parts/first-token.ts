import { Engine } from '../../../src/index.ts'
import { Model } from '../../../src/llama/model.ts'
import { Plain } from '../../../src/tune/plain.ts'
import { firstWords, summary, type Way } from '../../first-word-times.ts'
import { row } from '../results.ts'
import { cacheDirOf, corpusOf, ms, type Task } from './part.ts'

// As llama-server has it: the library computes 512 of them at once, without a pause between.
const plainBatch = 2048

/** Committed and provisional first words beside those of a plain context: without guesses, and with a look. */
export async function firstToken(task: Task): Promise<void> {
  const { scale, threads } = task
  await using engine = await Engine.load(task.model, {
    cacheDir: cacheDirOf(task),
    cut: 'none',
    contextLength: Math.max(...scale.lengths) + 512,
    parallel: 1,
    threads,
  })
  await firstTokens(task, [
    { name: 'no guesses', engine, proposers: [] },
    { name: 'look', engine, proposers: ['skim'] },
  ])
  const { steps, overheadMs, decodeMs } = engine.stats()
  row('Outside of llama_decode', {
    shape: task.part.shape,
    engine: 'incipit',
    streams: 1,
    'ms inside, a step': ms(decodeMs / steps),
    'ms outside': ms(overheadMs / steps),
  })
}

/** Measures ways to answer prompts beside a plain context. */
export async function firstTokens({ part, scale, model: path, threads }: Task, ways: readonly Way[]): Promise<void> {
  const longest = Math.max(...scale.lengths)
  using model = await Model.load(path)
  using plain = new Plain(model, { cells: longest + 512, threads, batch: plainBatch })
  const corpus = corpusOf(model, longest)
  for (const length of scale.lengths) {
    for (const times of await firstWords(plain, ways, corpus, { length, runs: scale.runs })) {
      const { plain, provisional, committed, early, ratio } = summary(times)
      row('First words', {
        shape: part.shape,
        tokens: length,
        guesses: times.name,
        'plain ms': ms(plain),
        'committed ms': ms(committed),
        'committed / plain': ratio.toFixed(3),
        'provisional ms': provisional === undefined ? '' : ms(provisional),
        'provisional / committed': early === undefined ? '' : early.toFixed(3),
      })
    }
  }
}
