import { access, constants, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultCacheDir } from '@incipit/engine/gguf'
import { bytes } from '../models/progress.ts'
import { isHubReference } from '../models/reference.ts'
import { resolveModel } from '../models/resolve.ts'
import { listAll, modelStores } from '../models/store.ts'
import { type Row, rowsOf } from './row.ts'

/** Folders of models. */
export async function storeRows(): Promise<Row[]> {
  const { read, write } = await modelStores()
  const lines = read.map(async (store) => {
    const models = await listAll(store)
    const size = models.reduce((sum, { size }) => sum + size, 0)
    const incomplete = models.filter(({ complete }) => !complete).length
    const broken = incomplete > 0 ? `, ${incomplete} of them incomplete` : ''
    return `${store}: ${models.length} models, ${bytes(size)}${broken}${store === write ? '; downloads go there' : ''}`
  })
  return rowsOf('store', await Promise.all(lines))
}

/** The model that would run, and who chose it. */
export async function modelRows(): Promise<Row[]> {
  const wanted = process.env.INCIPIT_MODEL
  if (wanted && isHubReference(wanted)) return [['model', `${wanted}, chosen by INCIPIT_MODEL`]]
  const { path, chosenBy } = await resolveModel(undefined)
  const why =
    chosenBy === 'the model store'
      ? ': the largest with a chat template that fits into half of the available memory'
      : chosenBy === 'the embedded model'
        ? ': there is no other'
        : ''
  return [['model', `${path} (${bytes((await stat(path)).size)}), chosen by ${chosenBy}${why}`]]
}

/** Where derived files go. */
export async function cacheRows(): Promise<Row[]> {
  const folder = defaultCacheDir()
  await mkdir(folder, { recursive: true })
  await access(folder, constants.W_OK)
  return [['cache', `${folder}: ${bytes(await sizeOf(folder))} with all that is below it; it can be written`]]
}

// What changes what this program does. Keys are said to be there, and no more.
const variables = [
  'INCIPIT_MODEL',
  'INCIPIT_MODELS',
  'INCIPIT_CACHE',
  'INCIPIT_LLAMA_LIB',
  'INCIPIT_THREADS',
  'INCIPIT_TRACE',
  'INCIPIT_DEBUG',
  'HF_ENDPOINT',
  'NODE_OPTIONS',
  'CUDA_VISIBLE_DEVICES',
]
const secrets = ['INCIPIT_API_KEY', 'HF_TOKEN']

export function environmentRows(): Row[] {
  const said = variables.flatMap((name) => (process.env[name] ? [`${name}=${withoutUser(process.env[name])}`] : []))
  const hidden = secrets.flatMap((name) => (process.env[name] ? [`${name} is set`] : []))
  const all = [...said, ...hidden]
  return rowsOf('environment', all.length > 0 ? all : ['nothing that changes anything'])
}

/** A URL may carry a name and a password. */
function withoutUser(value: string): string {
  return value.replace(/\/\/[^/@]+@/, '//...@')
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
