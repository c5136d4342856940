import { basename } from 'node:path'
import { UsageError } from '../../failure.ts'
import type { EngineFlags, ReplyFlags } from '../../flags.ts'
import { resolveModel } from '../../models/resolve.ts'
import { defined, type NamedFile } from '../../options.ts'
import { readText } from '../../text-file.ts'
import type { ModelConfig } from './model-config.ts'
import type { ModelEntry, ModelsFile } from './models-file.ts'

/** What the command line says about models. */
export interface ModelFlags extends EngineFlags, ReplyFlags {
  model?: string[]
  models?: string
  prefix?: NamedFile[]
  unloadAfter: number
  memory?: number
}

export interface ModelConfigs {
  models: readonly ModelConfig[]
  /** Bytes that the loaded ones may take together; undefined where nobody says it. */
  memory: number | undefined
}

/** Options that belong to one model. */
const ofOneModel = ['draft', 'experts', 'heads', 'format', 'prefix'] as const

/**
 * The models to serve: of a file of models, of the command line, or the one that the environment or the store chooses. One
 * alone stays loaded.
 * @throws UsageError; IncipitError `model_not_found`, `model_download`
 */
export async function modelConfigs(flags: ModelFlags): Promise<ModelConfigs> {
  if (flags.models !== undefined && flags.model) throw new UsageError('give --model or --models, not both')
  const file = flags.models === undefined ? undefined : await modelsFile(flags.models)
  const { model = [undefined], prefix = [] } = flags
  const several = (file?.models ?? model).length > 1 || file !== undefined
  for (const option of ofOneModel) {
    if (!several || flags[option] === undefined) continue
    throw new UsageError(`--${option} belongs to one model: with several, say it in a file of models (--models)`)
  }
  const unloadAfter = file?.unloadAfter ?? flags.unloadAfter
  const ofAll = { ...flags, unloadAfter, prefixes: Object.fromEntries(prefix.map(({ name, file }) => [name, file])) }
  const entries: readonly Partial<ModelEntry>[] = file?.models ?? model.map((model) => defined({ model }))
  const models: ModelConfig[] = []
  for (const entry of entries) models.push(await modelConfig(entry, ofAll, entries.length === 1))
  return { models, memory: flags.memory ?? file?.memory }
}

/** Nobody else needs what it is checked with. */
async function modelsFile(path: string): Promise<ModelsFile> {
  const { readModelsFile } = await import('./models-file.ts')
  return readModelsFile(path)
}

/** @param alone there is no other model */
async function modelConfig(
  own: Partial<ModelEntry>,
  ofAll: Omit<ModelFlags, 'model'> & { prefixes: NonNullable<ModelEntry['prefixes']> },
  alone: boolean,
): Promise<ModelConfig> {
  // First what is quickly found to be wrong.
  const files = Object.entries(own.prefixes ?? ofAll.prefixes)
  const prefixes = await Promise.all(files.map(([name, file]) => prefixFrom(name, file)))
  const { path } = await resolveModel(own.model)
  const name = own.name ?? basename(path).replace(/\.gguf$/i, '')
  const policy = own.policy ?? ofAll.policy
  if (own.alpha !== undefined && policy !== 'tolerant') {
    throw new UsageError(`the model ${name}: alpha needs the policy tolerant`)
  }
  const { cut, context, parallel, maxWaiting, cache, threads, draft, experts, heads, format, tier, alpha } = {
    ...ofAll,
    ...defined(own),
  }
  const drafter = draft === undefined ? undefined : (await resolveModel(draft, { option: '--draft' })).path
  const engine = { cut, context, parallel, maxWaiting, cache, threads, experts, heads, format, draft: drafter }
  return {
    ...defined({ ...engine, tier, alpha: policy === 'tolerant' ? alpha : undefined }),
    name,
    path,
    policy,
    aliases: own.aliases ?? [],
    pinned: own.pinned ?? alone,
    unloadAfter: own.unloadAfter ?? ofAll.unloadAfter,
    prefixes,
  }
}

async function prefixFrom(name: string, file: string): Promise<ModelConfig['prefixes'][number]> {
  // One newline at the end is the editor's, and no client sends it.
  const text = (await readText(file, 'prefix')).replace(/\r?\n$/, '')
  if (text === '') throw new UsageError(`the prefix file ${file} is empty`)
  return { name, text }
}
