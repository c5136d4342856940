import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import {
  architectureOf,
  defaultCacheDir,
  derivedDir,
  type Gguf,
  inspectMemory,
  layersOf,
  metadataNumber,
  metadataString,
  modelHash,
  planCut,
  readGguf,
  tensorTypes,
} from '@incipit/engine'
import { IncipitError, type ProposerName } from '@incipit/engine/api'
import { bytes } from './progress.ts'

/**
 * What a model file holds and what incipit can do with it, as text for people: a heading and one line per fact. Reads
 * the header, and once per file its content for the hash that names the cache.
 * @throws IncipitError `model_not_found`, `model_invalid`
 */
export async function describeModel(path: string, cacheDir = defaultCacheDir()): Promise<string> {
  const gguf = await readGguf(path)
  const directory = derivedDir(cacheDir, await modelHash(path, cacheDir))
  const cache = await filesIn(directory)
  const memory = await inspectMemory(path).catch((error: unknown) => {
    if (error instanceof IncipitError) return error.message.replace(path, 'this')
    throw error
  })
  const rows: [string, string][] = [
    ['file', `${path} (${bytes(gguf.size)}, GGUF version ${gguf.version})`],
    ['architecture', architecture(gguf)],
    ['parameters', `${count(gguf)} in ${gguf.tensors.length} tensors`],
    ['tensor types', types(gguf)],
    [
      'context',
      `${metadataNumber(gguf.metadata, `${architectureOf(gguf)}.context_length`) ?? 'unknown'} tokens in training`,
    ],
    ['chat template', metadataString(gguf.metadata, 'tokenizer.chat_template') === undefined ? 'no (runs raw)' : 'yes'],
    ['memory', typeof memory === 'string' ? `not supported: ${memory}` : memoryLine(memory)],
    ['cut', cuttable(gguf)],
    ['proposers', typeof memory === 'string' ? 'none' : proposers(gguf, cache, memory)],
    ['cache', cache.length === 0 ? `nothing in ${directory}` : directory],
    ...cache.map(({ name, size }): [string, string] => ['', `${name} (${bytes(size)})`]),
  ]
  const name = metadataString(gguf.metadata, 'general.name') ?? basename(path)
  return `${name}\n${rows.map(([key, value]) => `  ${key.padEnd(15)}${value}\n`).join('')}`
}

function architecture(gguf: Gguf): string {
  const name = architectureOf(gguf)
  const number = (key: string) => metadataNumber(gguf.metadata, `${name}.${key}`)
  const facts = [`${layersOf(gguf)} layers`]
  const add = (value: number | undefined, what: string) => value !== undefined && facts.push(`${what} ${value}`)
  add(number('embedding_length'), 'embedding')
  add(number('attention.head_count'), 'heads')
  add(number('attention.head_count_kv'), 'KV heads')
  add(number('expert_count'), 'experts')
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens')
  add(tokens?.type === 'array' ? tokens.value.length : undefined, 'vocabulary')
  return `${name}, ${facts.join(', ')}`
}

function count(gguf: Gguf): string {
  const parameters = gguf.tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0)
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(2)} billion`
  return parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} million` : `${parameters}`
}

function types(gguf: Gguf): string {
  const byType = new Map<string, { tensors: number; size: number }>()
  for (const tensor of gguf.tensors) {
    const name = tensorTypes.get(tensor.type)?.name ?? `type ${tensor.type}`
    const { tensors, size } = byType.get(name) ?? { tensors: 0, size: 0 }
    byType.set(name, { tensors: tensors + 1, size: size + tensor.bytes })
  }
  return [...byType]
    .sort(([, a], [, b]) => b.size - a.size)
    .map(([name, { tensors, size }]) => `${name} (${tensors}, ${bytes(size)})`)
    .join(', ')
}

function cuttable(gguf: Gguf): string {
  const layers = layersOf(gguf)
  if (layers < 2) return 'not possible: one layer'
  try {
    // Some architectures can be cut only at multiples of a period, of which half of the layers is the likeliest.
    const at = [Math.round(layers / 4), Math.floor(layers / 2)]
    const possible = at.filter((layer) => layer > 0).filter((layer) => planned(gguf, layer))
    if (possible.length === 0) planCut(gguf, [Math.max(1, at[1]!)])
    return 'possible (verified against the uncut model when it is made)'
  } catch (error) {
    if (!(error instanceof IncipitError)) throw error
    return `not possible: ${error.message.replace(`${gguf.path} cannot be cut: `, '')}`
  }
}

function planned(gguf: Gguf, layer: number): boolean {
  try {
    return planCut(gguf, [layer]).length === 2
  } catch {
    return false
  }
}

// What needs nothing but a memory that can be rolled back.
const always = (['opening', 'skim', 'lookup', 'prediction'] satisfies ProposerName[]).join(', ')

type Memory = Awaited<ReturnType<typeof inspectMemory>>

function memoryLine({ kind, window }: Memory): string {
  if (kind === 'recurrent') return 'recurrent states: a text is gone back to at checkpoints'
  return kind === 'window' ? `attention, in some layers ${window} tokens back` : 'attention over everything'
}

function proposers(gguf: Gguf, cache: readonly { name: string }[], { kind }: Memory): string {
  if (kind === 'recurrent') {
    return 'lookup, prediction; opening and skim where llama.cpp keeps snapshots of its states (serve says so)'
  }
  const fitted = cache.flatMap(({ name }) => /^exit-(\d+)\.json$/.exec(name)?.[1] ?? [])
  const carried = metadataNumber(gguf.metadata, 'incipit.exit.layer')
  if (fitted.length > 0) return `${always}, exit (fitted at layer ${fitted.join(', ')})`
  if (carried !== undefined) return `${always}, exit (trained at layer ${carried})`
  return `${always}; exit off: not fitted (incipit tune --exit)`
}

async function filesIn(directory: string): Promise<{ name: string; size: number }[]> {
  const names = await readdir(directory).catch(() => [])
  const files = names.sort().map(async (name) => ({ name, size: (await stat(join(directory, name))).size }))
  return Promise.all(files)
}
