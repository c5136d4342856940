import { Engine, type GenerateRequest } from '../../../src/index.ts'
import { corpusText } from '../../load.ts'
import { median } from '../../numbers.ts'
import { committed, outcomeOf, typed } from '../../typed-message.ts'
import { row } from '../results.ts'
import { cacheDirOf, ms, type Task } from './part.ts'

// Typing takes its time, whatever computes.
const rounds = 2

/** A message that is typed, Enter at once, beside the same in one piece. */
export async function typedMessages(task: Task): Promise<void> {
  const { part, scale, model, threads } = task
  const contextLength = Math.max(...scale.lengths) + 512
  await using engine = await Engine.load(model, {
    cacheDir: cacheDirOf(task),
    cut: 'none',
    contextLength,
    parallel: 2,
    threads,
  })
  const corpus = corpusText().replaceAll(/\s+/g, ' ')
  const perToken = corpus.length / engine.tokenize(corpus).length
  for (const tokens of scale.lengths.filter((length) => length >= 512)) {
    const pairs: { once: number; typed: number }[] = []
    const letters = Math.min(Math.floor(tokens * perToken), Math.floor(corpus.length / 2))
    for (let round = 0; round <= rounds; round++) {
      const start = (round * 7919 + tokens) % (corpus.length - letters)
      const text = corpus.slice(start, start + letters)
      const messages = [{ role: 'user', content: text }]
      const request: GenerateRequest = { messages, maxTokens: 8, proposers: [], cachePrompt: false }
      const once = committed(await outcomeOf(engine.generate(request)))
      const pair = { once, typed: await typed(engine, text) }
      if (round > 0) pairs.push(pair)
    }
    row('A message that is typed, Enter at once', {
      shape: part.shape,
      tokens: Math.round(letters / perToken),
      'in one piece ms': ms(median(pairs.map(({ once }) => once))),
      'typed ms': ms(median(pairs.map(({ typed }) => typed))),
      share: median(pairs.map(({ once, typed }) => typed / once)).toFixed(3),
    })
  }
}
