// node packages/engine/bench/watch.ts [MODEL] [ROUNDS]: what watching costs. The same reply again and again, in turns not
// watched, watched, and watched with likely tokens; prints the median of tokens per second of each, and of their ratios.
import { Engine } from '../src/engine.ts'

const [path = process.env.INCIPIT_MODEL ?? 'model.gguf', rounds = '15'] = process.argv.slice(2)
const ways = [undefined, { others: 0 }, { others: 3 }] as const
const names = ['not watched', 'watched', 'watched, 3 likely tokens']

await using engine = await Engine.load(path)
const speeds: number[][] = ways.map(() => [])
for (let round = 0; round <= Number(rounds); round++) {
  for (const [i, way] of ways.entries()) {
    const stop = way && engine.watch(() => {}, way)
    for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 128, proposers: [] })) {
      if (event.type !== 'done') continue
      const { predictedN, predictedMs } = event.timings
      // The first round warms up.
      if (round > 0) speeds[i]!.push(((predictedN - 1) * 1000) / predictedMs)
    }
    stop?.()
  }
}

for (const [i, name] of names.entries()) {
  const ratios = speeds[i]!.map((speed, round) => speed / speeds[0]![round]!)
  console.log(
    `${name.padEnd(26)} ${median(speeds[i]!).toFixed(1)} tokens/s, ${median(ratios).toFixed(3)} of not watched`,
  )
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
