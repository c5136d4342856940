import { fimFamily } from '@incipit/engine/api'
import { metadataNumber, readGguf } from '@incipit/engine/gguf'
import type { ModelChoice } from '@incipit/lsp'
import { resolveModel } from '../models/resolve.ts'
import { embeddedModels, listModels, modelStores } from '../models/store.ts'

// Of the memory that is there: an editor, its other servers and the cache want the rest.
const memoryShare = 0.25

/** The models of the store and the embedded one, those that fill in the middle first. */
export async function codeModels(): Promise<ModelChoice[]> {
  const { read } = await modelStores()
  const stored = (await Promise.all(read.map((store) => listModels(store)))).flat()
  const models = await Promise.all([...stored, ...(await embeddedModels())].map(choiceOf))
  return models.filter((model) => model !== undefined).sort((a, b) => Number(b.fillsIn) - Number(a.fillsIn))
}

/**
 * The model for code: the one that is named, else INCIPIT_MODEL, else the largest of the store that fills in the middle
 * and takes at most a quarter of the memory, else the embedded one.
 * @throws as `resolveModel`
 */
export async function codeModel(name: string): Promise<string> {
  if (name !== '' || process.env.INCIPIT_MODEL) return (await resolveModel(name)).path
  const fitting = (await codeModels()).filter(
    ({ fillsIn, bytes }) => fillsIn && bytes <= memoryShare * process.availableMemory(),
  )
  const largest = fitting.sort((a, b) => b.bytes - a.bytes)[0]
  return largest?.path ?? (await resolveModel(undefined)).path
}

async function choiceOf({ name, path, size }: { name: string; path: string; size: number }) {
  const gguf = await readGguf(path).catch(() => undefined)
  if (!gguf) return undefined
  const declared = metadataNumber(gguf.metadata, 'tokenizer.ggml.fim_pre_token_id') !== undefined
  const family = fimFamily({ name, architecture: '' })
  return { name, path, bytes: size, fillsIn: declared || family !== undefined }
}
