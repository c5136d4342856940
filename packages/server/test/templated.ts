import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { Engine } from '@incipit/engine'
import { copyOf, readGguf, writeGguf } from '../../engine/src/gguf/index.ts'
import { missing, pathOf, smol } from './models.ts'

/** Loads SmolLM2 with another chat template, for models that are too large to be here. Closed after the tests of the file. */
export function templated(template: string, contextLength = 512): () => Engine {
  let folder: string
  let engine: Engine | undefined
  before(async () => {
    if (missing(smol)) return
    folder = await mkdtemp(join(tmpdir(), 'incipit-template-'))
    const gguf = await readGguf(pathOf(smol))
    const metadata = new Map(gguf.metadata).set('tokenizer.chat_template', { type: 'string', value: template })
    const path = join(folder, 'templated.gguf')
    await writeGguf(
      path,
      metadata,
      gguf.tensors.map((tensor) => copyOf(gguf, tensor)),
    )
    engine = await Engine.load(path, { threads: 1, contextLength, cacheDir: folder, constraints: compile })
  })
  after(async () => {
    if (missing(smol)) return
    await engine?.close()
    await rm(folder, { recursive: true, force: true })
  })
  return () => {
    if (engine === undefined) throw new Error('the model is not loaded')
    return engine
  }
}
