// A speech recogniser revises its hypothesis while somebody speaks; prefill runs all along, and the reply may begin in
// the pause at the end. Here the recogniser is a list of its hypotheses.
//
//   INCIPIT_MODEL=model.gguf node examples/speech.ts
import { setTimeout as sleep } from 'node:timers/promises'
import { Engine } from '@incipit/engine'

async function* recogniser(): AsyncGenerator<string> {
  const words = 'what is the capital of France and what is it known for'.split(' ')
  for (let i = 2; i <= words.length; i++) {
    // At first the last word is only half heard.
    yield `${words.slice(0, i - 1).join(' ')} ${words[i - 1]!.slice(0, 3)}`
    await sleep(100)
    yield words.slice(0, i).join(' ')
    await sleep(100)
  }
  yield 'What is the capital of France, and what is it known for?'
}

// One user: room for two requests, not for eight.
await using engine = await Engine.load(process.env.INCIPIT_MODEL ?? 'model.gguf', { parallel: 2 })
using input = engine.open({ speculate: 'reply', maxTokens: 48 })
for await (const hypothesis of recogniser()) input.revise(hypothesis)

// The end of the turn: silence.
await sleep(500)
const end = performance.now()
input.commit()
for await (const event of input.respond()) {
  if (event.type === 'delta') process.stdout.write(event.text)
  if (event.type === 'done') {
    console.log(
      `\n(first word ${event.timings.committedMs?.toFixed(0)} ms after the turn's end, done after ${(performance.now() - end).toFixed(0)} ms)`,
    )
  }
}
