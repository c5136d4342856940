import { signal } from '@preact/signals'
import { change, chosenModel, headers } from '../settings.ts'

/** Names of the models that the server has. */
export const models = signal<readonly string[]>([])

/** Asks which there are. A choice that is served no more is given up. */
export async function refreshModels(): Promise<void> {
  try {
    const response = await fetch('/v1/models', { headers: headers.peek() })
    if (!response.ok) return
    const { data } = (await response.json()) as { data: { id: string }[] }
    models.value = data.map(({ id }) => id)
    const model = chosenModel.peek()
    if (model !== '' && !models.peek().includes(model)) change({ model: '' })
  } catch {
    // Whoever asks for the engine finds out, and says so.
  }
}

/** An address of the API that names the model that was chosen, where one was. */
export function withModel(path: string): string {
  const model = chosenModel.value
  return model === '' ? path : `${path}${path.includes('?') ? '&' : '?'}model=${encodeURIComponent(model)}`
}
