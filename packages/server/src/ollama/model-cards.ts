import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { ModelInfo } from '@incipit/engine/api'

/** The one model as Ollama lists models. */
async function cardOf(model: string, info: ModelInfo) {
  // A file that is gone meanwhile does not make the model another.
  const { size, mtime } = await stat(info.path).catch(() => ({ size: 0, mtime: new Date(0) }))
  return {
    name: model,
    model,
    modified_at: mtime.toISOString(),
    size,
    // Who compares digests wants to know whether it is the same file. Reading all of it would take seconds.
    digest: createHash('sha256').update(`${info.name} ${size} ${mtime.getTime()}`).digest('hex'),
    details: detailsOf(info),
  }
}

/** `llama, 135M parameters, Q4_1` in its parts. */
function detailsOf({ architecture, description }: ModelInfo) {
  const [, parameters = '', quantization = ''] = /([\d.]+[KMBT]) parameters(?:, (\w+))?/.exec(description) ?? []
  return {
    parent_model: '',
    format: 'gguf',
    family: architecture,
    families: [architecture],
    parameter_size: parameters,
    quantization_level: quantization,
  }
}

/** `GET /api/tags` */
export async function tags(model: string, info: ModelInfo) {
  return { models: [await cardOf(model, info)] }
}

/** `GET /api/ps`: it stays loaded. */
export async function running(model: string, info: ModelInfo) {
  const { modified_at: _, ...card } = await cardOf(model, info)
  const { contextLength: context_length } = info
  return { models: [{ ...card, expires_at: '9999-12-31T23:59:59Z', size_vram: 0, context_length }] }
}

/** `POST /api/show` */
export async function show(model: string, info: ModelInfo) {
  const { architecture, contextLength, layers, embedding, vocabulary, chatTemplate, reasoning, fim } = info
  const { details, modified_at } = await cardOf(model, info)
  return {
    modelfile: `FROM ${info.name}`,
    parameters: '',
    template: chatTemplate ?? '',
    license: '',
    system: '',
    details,
    messages: [],
    model_info: {
      'general.architecture': architecture,
      'general.basename': model,
      [`${architecture}.context_length`]: contextLength,
      [`${architecture}.block_count`]: layers,
      [`${architecture}.embedding_length`]: embedding,
      [`${architecture}.vocab_size`]: vocabulary,
    },
    capabilities: [
      'completion',
      ...(chatTemplate === undefined ? [] : ['tools']),
      ...(reasoning === undefined ? [] : ['thinking']),
      ...(fim === undefined ? [] : ['insert']),
    ],
    modified_at,
  }
}
