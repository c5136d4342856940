import { IncipitError } from '@incipit/engine/api'

/** A file of a model repository on the Hugging Face hub. */
export interface HubReference {
  /** `owner/repo`. */
  repo: string
  /** Path inside the repository; undefined when the reference names only the repository. */
  file: string | undefined
  /** Which of the repository's files, by how it is quantized: `Q4_K_M`. */
  quantization: string | undefined
  /** Branch, tag or commit. */
  revision: string
}

export function isHubReference(reference: string): boolean {
  return reference.startsWith('hf:')
}

/**
 * Reads `hf:owner/repo/path/file.gguf` or `hf:owner/repo:Q4_K_M`, with an optional revision as in
 * `hf:owner/repo@revision/file.gguf`.
 * @throws IncipitError `model_download` for another form
 */
export function parseHubReference(reference: string): HubReference {
  const part = '[A-Za-z0-9][\\w.-]*'
  const pattern = new RegExp(`^hf:(${part}/${part})(?:@([\\w.-]+))?(?::([\\w-]+)|/([^?#]+))?$`)
  const [, repo, revision = 'main', quantization, file] = pattern.exec(reference) ?? []
  if (repo === undefined || (file !== undefined && !staysInside(file))) {
    throw new IncipitError(
      'model_download',
      `${reference}: a reference reads hf:owner/repo/file.gguf or hf:owner/repo:Q4_K_M`,
    )
  }
  return { repo, file, quantization, revision }
}

/** Whether a path of a repository leads to no other folder than its own. */
export function staysInside(path: string): boolean {
  return !path.split(/[/\\]/).some((segment) => segment === '' || segment === '.' || segment === '..')
}

/** Where a repository's files are in a store: parts of a path. */
export function folderOf({ repo, revision }: Pick<HubReference, 'repo' | 'revision'>): string[] {
  return (revision === 'main' ? repo : `${repo}@${revision}`).split('/')
}
