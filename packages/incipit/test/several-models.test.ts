import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { writeBert } from '../../engine/test/fixtures/bert-model.ts'
import { chatStories, incipit, missing, prelude, printed, start, stories } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'

/* Three models and an encoder behind one server, each in a process of its own. */

const options = { skip: missing(stories), timeout: 120_000 }

async function serve(test: TestContext, content: object, ...args: string[]) {
  const folder = await temporary(test)
  await writeBert(join(folder, 'bert.gguf'))
  await writeFile(join(folder, 'models.json'), JSON.stringify(content))
  const command = start(['serve', '--models', join(folder, 'models.json'), '--port', '0', '--threads', '1', ...args])
  test.after(() => command.child.kill('SIGKILL'))
  const [, address = ''] = await printed(command, /serves on (http:\S+)[\s\S]*\ncurl .*\n/)
  const post = async (path: string, body: object) => {
    const answer = await fetch(`${address}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: answer.status, body: (await answer.json()) as Answer }
  }
  const statuses = async () => {
    const { data } = (await (await fetch(`${address}/v1/models`)).json()) as List
    return Object.fromEntries(data.map(({ id, status }) => [id, status.value]))
  }
  return { ...command, address, post, statuses }
}

interface List {
  data: { id: string; status: { value: string } }[]
}

interface Answer {
  model?: string
  choices?: { text?: string; message?: { content: string } }[]
  data?: { embedding: number[] }[]
  error?: { code: string; param: string | null }
}

const code = { model: prelude, name: 'prelude', policy: 'confident' }

test('each request gets the model that it names, loaded on demand and unloaded when it rests', options, async (t) => {
  const models = [
    { model: stories, name: 'stories', aliases: ['gpt-4o-mini'], pinned: true },
    { model: await chatStories(), name: 'chat', context: 256 },
    code,
    { model: 'bert.gguf' },
  ]
  const { output, post, statuses } = await serve(t, { models, unloadAfter: 1 })
  assert.match(
    output(),
    /models +stories \(also gpt-4o-mini\), loaded\n +chat, loaded when .*\n.*\n +bert, .* embeddings/,
  )
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  const prompt = { prompt: 'Once upon a time', max_tokens: 8, temperature: 0 }
  const answers = await Promise.all([
    post('completions', { ...prompt, model: 'gpt-4o-mini' }),
    post('chat/completions', { messages, max_tokens: 8, temperature: 0, model: 'chat' }),
    post('completions', { ...prompt, model: 'prelude' }),
    post('embeddings', { input: 'Hello', model: 'bert' }),
    post('embeddings', { input: 'Hello', model: 'stories' }),
  ])
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body.model]),
    ['stories', 'chat', 'prelude', 'bert', 'stories'].map((model) => [200, model]),
  )
  assert.match(answers[1].body.choices![0]!.message!.content, /\S/)
  assert.deepEqual(
    answers.slice(3).map(({ body }) => body.data![0]!.embedding.length),
    [32, 64],
  )
  assert.equal((await post('completions', { ...prompt, model: 'nobody' })).body.error?.code, 'model_not_found')
  assert.equal((await post('chat/completions', { messages, model: 'bert' })).body.error?.code, 'unsupported')
  const pinned = { stories: 'loaded', chat: 'unloaded', prelude: 'unloaded', bert: 'unloaded' }
  for (let tries = 0; tries < 300; tries++) {
    if (JSON.stringify(await statuses()) === JSON.stringify(pinned)) break
    await wait(50)
  }
  assert.deepEqual(await statuses(), pinned)
  const again = await post('completions', { ...prompt, model: 'prelude' })
  assert.deepEqual(again.body.choices, answers[2].body.choices)
})

test('models give way to each other where there is not memory for both', options, async (t) => {
  const models = [{ model: stories, name: 'stories' }, code]
  const { post, statuses } = await serve(t, { models, memory: '1MB' })
  const prompt = { prompt: 'Once upon a time', max_tokens: 4, temperature: 0 }
  for (const model of ['stories', 'prelude', 'stories']) {
    assert.equal((await post('completions', { ...prompt, model })).body.model, model)
    const loaded = Object.entries(await statuses()).filter(([, status]) => status === 'loaded')
    assert.deepEqual(loaded, [[model, 'loaded']])
  }
})

test('a file of models that is wrong says where', options, async (t) => {
  const folder = await temporary(t)
  const file = join(folder, 'models.json')
  const wrong: [content: string, message: RegExp][] = [
    ['{', /not JSON/],
    ['{"models": []}', /models: must name a model/],
    ['{"models": [{"model": "a", "teir": "chat"}]}', /models\[0\]: .*teir/],
    ['{"models": [{"model": "a", "tier": "vip"}]}', /models\[0\]\.tier/],
    ['{"memory": "much", "models": [{"model": "a"}]}', /memory: must be a size/],
    [`{"models": [{"model": "${stories}", "alpha": 0.5}]}`, /alpha needs the policy tolerant/],
  ]
  for (const [content, message] of wrong) {
    await writeFile(file, content)
    const { code, stderr } = await incipit(['serve', '--models', file])
    assert.equal(code, 2, stderr)
    assert.match(stderr, message)
  }
})
