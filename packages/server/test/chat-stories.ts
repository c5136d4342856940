import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { Engine, type EngineOptions } from '@incipit/engine'
import { copyOf, readGguf, writeGguf } from '@incipit/engine/gguf'
import { missing, pathOf, stories } from './models.ts'

const template = `{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`

/** The smallest model with a chat template, there while the tests of a file run: under a millisecond a token. */
export function loadedChatStories(options: EngineOptions): () => Engine {
  let directory: string
  let engine: Engine
  before(async () => {
    if (missing(stories)) return
    directory = await mkdtemp(join(tmpdir(), 'incipit-chat-stories-'))
    const path = join(directory, 'chat-stories.gguf')
    const gguf = await readGguf(pathOf(stories))
    const metadata = new Map(gguf.metadata)
    metadata.set('tokenizer.chat_template', { type: 'string', value: template })
    await writeGguf(
      path,
      metadata,
      gguf.tensors.map((tensor) => copyOf(gguf, tensor)),
    )
    engine = await Engine.load(path, { threads: 1, cacheDir: directory, ...options })
  })
  after(async () => {
    await engine?.close()
    if (directory) await rm(directory, { recursive: true, force: true })
  })
  return () => engine
}
