import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readGguf } from '../../engine/src/gguf/index.ts'
import { modelFolder } from '../../engine/test/fixtures/gguf.ts'
import { writeLora } from '../../engine/test/fixtures/lora.ts'
import { incipit, missing, printed, start, stories } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'

/* A model with a LoRA adapter is another model beside it. */

const options = { skip: missing(stories), timeout: 60_000 }

async function adapter(folder: string): Promise<string> {
  const path = join(folder, 'story.gguf')
  const base = await readGguf(join(modelFolder, `${stories}.gguf`))
  await writeLora(base, path, { targets: ['blk.0.attn_q', 'blk.1.ffn_down'], seed: 1 })
  return path
}

async function serve(t: TestContext, ...args: string[]) {
  const command = start(['serve', '--port', '0', '--threads', '1', ...args])
  t.after(() => command.child.kill('SIGKILL'))
  const [, address = ''] = await printed(command, /serves on (http:\S+)[\s\S]*\ncurl .*\n/)
  const say = async (model: string) => {
    const body = JSON.stringify({ model, prompt: 'Once upon a time', temperature: 0, max_tokens: 20 })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${address}/v1/completions`, { method: 'POST', headers, body })
    return (await answer.json()) as { model?: string; choices?: { text: string }[]; error?: { code: string } }
  }
  return { address, say }
}

test('--lora serves the model with an adapter under another name', options, async (t) => {
  const folder = await temporary(t)
  const path = await adapter(folder)
  const { address, say } = await serve(t, '--model', stories, '--lora', `story=${path}`)
  const { data } = (await (await fetch(`${address}/v1/models`)).json()) as { data: { id: string }[] }
  assert.deepEqual(
    data.map(({ id }) => id),
    [stories, 'story'],
  )
  const [plain, adapted] = [await say(stories), await say('story')]
  assert.deepEqual([plain.model, adapted.model], [stories, 'story'])
  assert.notEqual(plain.choices![0]!.text, adapted.choices![0]!.text)
  assert.equal((await say('poem')).error?.code, 'model_not_found')
})

test('a file of models names adapters, with a scale', options, async (t) => {
  const folder = await temporary(t)
  await adapter(folder)
  const models = [
    { model: stories, name: 'plain' },
    { model: stories, name: 'none', lora: [{ path: 'story.gguf', scale: 0 }] },
    { model: stories, name: 'story', lora: 'story.gguf' },
  ]
  await writeFile(join(folder, 'models.json'), JSON.stringify({ models }))
  const { say } = await serve(t, '--models', join(folder, 'models.json'))
  const text = async (model: string) => (await say(model)).choices![0]!.text
  assert.equal(await text('none'), await text('plain'))
  assert.notEqual(await text('story'), await text('plain'))
})

test('an adapter belongs to one model, and is looked for before anything is served', options, async () => {
  const missing = await incipit(['serve', '--model', stories, '--lora', 'x=/nonexistent.gguf', '--port', '0'])
  assert.match(missing.stderr, /nonexistent\.gguf.*model_not_found/s)
  const { code, stderr } = await incipit(['serve', '--model', 'a', '--model', 'b', '--lora', 'x=y'])
  assert.equal(code, 2)
  assert.match(stderr, /--lora belongs to one model/)
})
