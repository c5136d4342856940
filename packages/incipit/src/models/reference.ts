import { IncipitError } from '@incipit/engine/api'

/** A file of a model repository on the Hugging Face hub. */
export interface HubReference {
  /** `owner/repo`. */
  repo: string
  /** Path inside the repository; undefined when the reference names only the repository. */
  file: string | undefined
  /** Branch, tag or commit. */
  revision: string
}

export function isHubReference(reference: string): boolean {
  return reference.startsWith('hf:')
}

/**
 * Reads `hf:owner/repo/path/file.gguf`, with an optional revision as in `hf:owner/repo@revision/file.gguf`.
 * @throws IncipitError `model_download` for another form
 */
export function parseHubReference(reference: string): HubReference {
  const part = '[A-Za-z0-9][\\w.-]*'
  const pattern = new RegExp(`^hf:(${part}/${part})(?:@([\\w.-]+))?(?:/([^?#]+))?$`)
  const match = pattern.exec(reference)
  const file = match?.[3]
  const unsafe = file?.split(/[/\\]/).some((segment) => segment === '' || segment === '.' || segment === '..')
  if (!match?.[1] || unsafe) {
    throw new IncipitError('model_download', `${reference}: a reference reads hf:owner/repo/file.gguf`)
  }
  return { repo: match[1], file, revision: match[2] ?? 'main' }
}
