import { rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { IncipitError } from '@incipit/engine/api'
import { listAll, named, type StoredModel } from './store.ts'

/**
 * Removes a model from a store: all its parts, what an interrupted download left, and folders that are empty then. Of a link
 * the link alone goes.
 * @returns what was removed
 * @throws IncipitError `model_not_found` for a name of none, or of several
 */
export async function removeModel(store: string, name: string): Promise<StoredModel> {
  const models = await listAll(store)
  const matches = named(models, name)
  const [model] = matches
  if (model === undefined || matches.length > 1) {
    const names = (model ? matches : models).map(({ name }) => name).join(', ') || 'nothing'
    const why = model ? 'means several models of the store:' : `is no model of the store ${store}, which has`
    throw new IncipitError('model_not_found', `${name} ${why} ${names}`)
  }
  for (const file of model.files) await rm(file)
  await removeEmpty(dirname(model.path), store)
  return model
}

async function removeEmpty(folder: string, store: string): Promise<void> {
  if (folder.length <= store.length) return
  try {
    await rmdir(folder)
  } catch {
    // There is something else in it.
    return
  }
  await removeEmpty(dirname(folder), store)
}
