import { window, workspace } from 'vscode'
import type { LanguageClient } from 'vscode-languageclient/node'

interface ModelChoice {
  readonly name: string
  readonly path: string
  readonly bytes: number
  readonly fillsIn: boolean
}

/** Lets the user pick one of the models of the store. */
export async function chooseModel(client: LanguageClient): Promise<void> {
  const models = await client.sendRequest<readonly ModelChoice[]>('incipit/models')
  const picks = models.map(({ name, path, bytes, fillsIn }) => ({
    label: name,
    description: `${(bytes / 1e6).toFixed(0)} MB`,
    detail: fillsIn ? 'fills in the middle' : 'sees only what stands before the cursor',
    path,
  }))
  const automatic = {
    label: 'Automatic',
    detail: 'the largest that fills in the middle, else the embedded one',
    path: '',
  }
  const picked = await window.showQuickPick([automatic, ...picks], { placeHolder: 'The model that completes' })
  if (picked) await workspace.getConfiguration('incipit').update('model', picked.path, true)
}
