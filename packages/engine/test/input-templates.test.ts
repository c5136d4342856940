import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Engine } from '../src/index.ts'
import { writeAltered } from './fixtures/altered.ts'
import { model } from './fixtures/gguf.ts'
import { full } from './fixtures/test-size.ts'
import { answerOf, greedy, Reference } from './reference.ts'

/*
 * The promise of open inputs under several shapes of chat templates: whatever was typed, pasted and taken back, the reply
 * is that of the final conversation sent in one piece, but for near ties: its rows were computed in other batches.
 */
const maxTokens = 6
const stories = model('stories260K.gguf')
const each = `{% for m in messages %}`
const templates: Record<string, string> = {
  chatml: `${each}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`,
  'inst, trimmed': `{{ bos_token }}${each}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}`,
  'headers, trimmed': `{{ bos_token }}${each}<|start|>{{ m.role }}<|end|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}`,
  'upper case, cannot be computed ahead': `${each}{{ m.role }}: {{ m.content | upper }}\n{% endfor %}`,
}

const edit = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ text: fc.constantFrom(' the', ' dog', 's', '. ', 'Lily ', '🙂', 'é', 'שלום ', '\n', '  ') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      text: fc.constantFrom('', 'a', ' cat ran'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ ms: fc.integer({ min: 0, max: 8 }) }) },
)

for (const [name, template] of Object.entries(templates)) {
  test(`typed conversations with the template '${name}'`, { skip: stories.skip }, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'incipit-template-'))
    t.after(() => rm(directory, { recursive: true, force: true }))
    const path = join(directory, 'model.gguf')
    await writeAltered(stories.path, path, { template })
    await using engine = await Engine.load(path, { threads: 1, cacheDir: directory })
    using reference = await Reference.load(path, { cells: engine.info.contextLength, threads: 1 })
    const words = 'Lily the dog. 🙂s cat\nOnce ran é the cat. Lily'
    const samples = Array.from({ length: 16 }, (_, i) =>
      reference.tokens({ messages: [{ role: 'user', content: words.slice(2 * i) + words.slice(0, 2 * i) }] }),
    )
    const tieWidth = await reference.tieWidth(samples, maxTokens)
    let [replies, ties] = [0, 0]

    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(edit, { maxLength: 8 }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('prefill' as const, 'reply' as const),
        async (turns, speculate) => {
          using input = engine.open({ speculate, maxTokens })
          for (const edits of turns) {
            for (const step of edits) {
              if ('ms' in step) await sleep(step.ms)
              else if ('share' in step) {
                // What is cut had time to be computed.
                await sleep(4)
                input.replace(Math.floor(step.share * input.text.length), step.text)
              } else input.append(step.text)
            }
            input.append('Once')
            input.commit()
            const messages = [...input.messages]
            const typed = await answerOf(input.respond())
            const prompt = reference.tokens({ messages })
            replies++
            ties += (await reference.ties({ prompt, sampling: greedy, maxTokens }, typed, tieWidth)).length
            assert.deepEqual(input.messages, [...messages, { role: 'assistant', content: typed.text }])
          }
        },
      ),
      { numRuns: full ? 50 : 16 },
    )
    await engine.idle()
    assert.deepEqual(engine.audit(), [])
    t.diagnostic(`${replies} replies, ${ties} ties under ${tieWidth}`)
  })
}
