import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { policies, tierNames, weightFormats } from '@incipit/engine/api'
import { z } from 'zod'
import { UsageError } from '../../failure.ts'
import { readText } from '../../text-file.ts'
import { memorySize } from './memory-size.ts'

const name = z.string().min(1)
const positive = z.int().min(1)

/** One model of the file. What it leaves out is as the command line says. */
const model = z.strictObject({
  /** A path (from the folder of the file, or from here), a name in the store, a short name, or hf:owner/repo/file.gguf. */
  model: z.string().min(1),
  name: name.optional(),
  aliases: z.array(name).optional(),
  pinned: z.boolean().optional(),
  unloadAfter: z.number().min(0).optional(),
  tier: z.enum(tierNames).optional(),
  policy: z.enum(policies).optional(),
  alpha: z.number().min(0).max(1).optional(),
  context: positive.optional(),
  parallel: positive.optional(),
  maxWaiting: positive.optional(),
  cache: z.enum(['unified', 'separate']).optional(),
  threads: z.union([positive, z.array(positive).min(1)], 'must be a number of threads, or one per stage').optional(),
  cut: z.union([z.enum(['auto', 'none']), z.array(positive)], 'must be "auto", "none" or layers').optional(),
  draft: z.string().min(1).optional(),
  experts: positive.optional(),
  heads: z.string().min(1).optional(),
  format: z.enum(weightFormats).optional(),
  /** Name and file of system prompts. */
  prefixes: z.record(name, z.string().min(1)).optional(),
})

const modelsFile = z.strictObject({
  memory: z
    .string()
    .refine((text) => memorySize(text) !== undefined, 'must be a size such as 12GiB or 512MB')
    .transform((text) => memorySize(text)!)
    .optional(),
  unloadAfter: z.number().min(0).optional(),
  models: z.array(model).min(1, 'must name a model'),
})

export type ModelsFile = z.infer<typeof modelsFile>
export type ModelEntry = ModelsFile['models'][number]

/**
 * Reads a file of models.
 * @throws UsageError naming what is wrong with it
 */
export async function readModelsFile(path: string): Promise<ModelsFile> {
  const text = await readText(path, 'models')
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`the models file ${path} is not JSON: ${(cause as Error).message}`)
  }
  const result = modelsFile.safeParse(content)
  if (!result.success) {
    const [issue] = result.error.issues
    const place = issue!.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
    throw new UsageError(
      `the models file ${path}: ${[place.replace(/^\./, ''), issue!.message].filter(Boolean).join(': ')}`,
    )
  }
  const folder = dirname(path)
  return { ...result.data, models: result.data.models.map((entry) => besideFile(entry, folder)) }
}

/** Paths of files that stand beside the models file. Everything else is left to whoever resolves it. */
function besideFile(entry: ModelEntry, folder: string): ModelEntry {
  const path = (reference: string) => {
    const beside = resolve(folder, reference)
    return existsSync(beside) ? beside : reference
  }
  const { draft, heads, prefixes } = entry
  return {
    ...entry,
    model: path(entry.model),
    ...(draft !== undefined && { draft: path(draft) }),
    ...(heads !== undefined && { heads: path(heads) }),
    ...(prefixes && {
      prefixes: Object.fromEntries(Object.entries(prefixes).map(([name, file]) => [name, path(file)])),
    }),
  }
}
