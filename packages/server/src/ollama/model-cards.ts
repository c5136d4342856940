import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { ModelInfo } from '@incipit/engine/api'
import type { ModelDirectory } from '../models/model-directory.ts'

/**
 * A model as Ollama lists them.
 *
 * @param info undefined while it is not loaded: then nobody has looked into its file
 */
async function cardOf(name: string, info: ModelInfo | undefined) {
  // A file that is gone meanwhile does not make the model another.
  const { size, mtime } = await stat(info?.path ?? '').catch(() => ({ size: 0, mtime: new Date(0) }))
  return {
    name,
    model: name,
    modified_at: mtime.toISOString(),
    size,
    // Who compares digests wants to know whether it is the same file. Reading all of it would take seconds.
    digest: createHash('sha256').update(`${name} ${size} ${mtime.getTime()}`).digest('hex'),
    details: detailsOf(info),
  }
}

/** `llama, 135M parameters, Q4_1` in its parts. */
function detailsOf({ architecture = '', description = '' }: Partial<ModelInfo> = {}) {
  const [, parameters = '', quantization = ''] = /([\d.]+[KMBT]) parameters(?:, (\w+))?/.exec(description) ?? []
  return {
    parent_model: '',
    format: 'gguf',
    family: architecture,
    families: architecture === '' ? [] : [architecture],
    parameter_size: parameters,
    quantization_level: quantization,
  }
}

/** `GET /api/tags` */
export async function tags(models: ModelDirectory) {
  return { models: await Promise.all(models.list().map(({ name }) => cardOf(name, models.loaded(name)?.info))) }
}

/** `GET /api/ps`: those that are loaded. When they are let go of, depends on who else wants memory. */
export async function running(models: ModelDirectory) {
  const infos = models.list().flatMap(({ name }) => {
    const info = models.loaded(name)?.info
    return info ? [{ name, info }] : []
  })
  const cards = infos.map(async ({ name, info }) => {
    const { modified_at: _, ...card } = await cardOf(name, info)
    return { ...card, expires_at: '9999-12-31T23:59:59Z', size_vram: 0, context_length: info.contextLength }
  })
  return { models: await Promise.all(cards) }
}

/**
 * `POST /api/show`. Of a model that is not loaded little is known; it is not loaded for this, since clients ask of all.
 *
 * @throws IncipitError `model_not_found`
 */
export async function show(models: ModelDirectory, asked: string | undefined) {
  const listed = models.list().find(({ name, aliases }) => name === asked || aliases.includes(asked ?? ''))
  const { name, info } = listed
    ? { name: listed.name, info: models.loaded(listed.name)?.info }
    : await anyModel(models, asked)
  const { details, modified_at } = await cardOf(name, info)
  return {
    modelfile: `FROM ${name}`,
    parameters: '',
    template: info?.chatTemplate ?? '',
    license: '',
    system: '',
    details,
    messages: [],
    model_info: { 'general.basename': name, ...(info && sizesOf(info)) },
    capabilities: [
      'completion',
      ...(info?.chatTemplate === undefined ? [] : ['tools']),
      ...(info?.reasoning === undefined ? [] : ['thinking']),
      ...(info?.fim === undefined ? [] : ['insert']),
    ],
    modified_at,
  }
}

/** An only model answers to every name. */
async function anyModel(models: ModelDirectory, asked: string | undefined) {
  using model = await models.use(asked)
  return { name: model.name, info: model.engine.info }
}

function sizesOf({ architecture, contextLength, layers, embedding, vocabulary }: ModelInfo) {
  return {
    'general.architecture': architecture,
    [`${architecture}.context_length`]: contextLength,
    [`${architecture}.block_count`]: layers,
    [`${architecture}.embedding_length`]: embedding,
    [`${architecture}.vocab_size`]: vocabulary,
  }
}
