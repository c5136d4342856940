// Documents arrive from a search one after the other; each is prefilled while the next is still on its way. The question
// stands first, so that the prompt only grows at its end.
//
//   INCIPIT_MODEL=model.gguf node examples/retrieval.ts
import { setTimeout as sleep } from 'node:timers/promises'
import { Engine } from '@incipit/engine'

async function* search(): AsyncGenerator<string> {
  const found = [
    'The lighthouse of Varn was built in 1871 from grey granite and is 42 metres high.',
    'Since 1968 the lamp of Varn works without a keeper; its light is seen 19 miles away.',
    'Every June the village of Varn celebrates the lighting of the lamp with boats and lanterns.',
  ]
  for (const document of found) {
    await sleep(400)
    yield document
  }
}

// One user: room for two requests, not for eight.
await using engine = await Engine.load(process.env.INCIPIT_MODEL ?? 'model.gguf', { parallel: 2 })
using input = engine.open({ maxTokens: 48 })
input.append('When was the lighthouse of Varn built? Answer from these documents.\n')
for await (const document of search()) input.append(`\n${document}\n`)

input.commit()
for await (const event of input.respond()) {
  if (event.type === 'delta') process.stdout.write(event.text)
  if (event.type === 'done') {
    const { promptTokens, cachedTokens } = event.usage
    console.log(
      `\n(first word after ${event.timings.committedMs?.toFixed(0)} ms; ${cachedTokens} of ${promptTokens} prompt tokens were ready)`,
    )
  }
}
