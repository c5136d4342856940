import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { Embedder } from '@incipit/engine'
import { writeBert } from '../../engine/test/fixtures/bert-model.ts'

/** An encoder with random weights, there while the tests of a file run. */
export function loadedBert(): () => Embedder {
  let directory: string
  let embedder: Embedder
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'incipit-server-bert-'))
    const path = join(directory, 'bert.gguf')
    await writeBert(path)
    embedder = await Embedder.load(path, { threads: 1 })
  })
  after(async () => {
    await embedder.close()
    await rm(directory, { recursive: true, force: true })
  })
  return () => embedder
}
