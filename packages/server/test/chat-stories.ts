import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { Engine, type EngineOptions } from '@incipit/engine'
import { writeChatStories } from '../../engine/test/fixtures/chat-stories.ts'
import { missing, stories } from './models.ts'

/** The smallest model with a chat template, there while the tests of a file run. */
export function loadedChatStories(options: EngineOptions): () => Engine {
  let directory: string
  let engine: Engine
  before(async () => {
    if (missing(stories)) return
    directory = await mkdtemp(join(tmpdir(), 'incipit-chat-stories-'))
    const path = join(directory, 'chat-stories.gguf')
    await writeChatStories(path)
    engine = await Engine.load(path, { threads: 1, cacheDir: directory, ...options })
  })
  after(async () => {
    await engine?.close()
    if (directory) await rm(directory, { recursive: true, force: true })
  })
  return () => engine
}
