// The output of one model is the input of another, which reads along while the first is still writing.
//
//   INCIPIT_MODEL=model.gguf node examples/chain.ts
import { Engine } from '@incipit/engine'

// One user: room for two requests, not for eight.
await using engine = await Engine.load(process.env.INCIPIT_MODEL ?? 'model.gguf', { parallel: 2 })
using input = engine.open({ maxTokens: 32 })
input.append('Give this text a short title.\n\n')

const writer = engine.generate({
  messages: [{ role: 'user', content: 'Describe a walk along the sea in three sentences.' }],
  maxTokens: 80,
})
for await (const event of writer) if (event.type === 'delta') input.append(event.text)

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
