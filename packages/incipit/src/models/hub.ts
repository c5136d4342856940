import { dirname } from 'node:path/posix'
import type { FileDownloadInfoOutput, HubApiError } from '@huggingface/hub'
import { IncipitError } from '@incipit/engine/api'

export interface HubOptions {
  store: string
  env?: Readonly<Record<string, string | undefined>>
}

/** A connection over which nothing comes for this long is broken, in milliseconds. */
const stallMs = 30_000

/** One file on the hub: what it is, its content from any offset on, and errors that say how to go on. */
export class HubFile {
  /** Set when the server answered a request for the rest of the file with the whole file. */
  rangeIgnored = false

  readonly #reference: string
  readonly #repo: { type: 'model'; name: string }
  readonly #path: string
  readonly #store: string
  readonly #hubUrl: string
  readonly #common: { revision: string; hubUrl: string; accessToken?: string }
  #info: FileDownloadInfoOutput | undefined

  constructor(
    reference: string,
    target: { repo: string; revision: string; file: string },
    { store, env = process.env }: HubOptions,
  ) {
    this.#reference = reference
    this.#repo = { type: 'model', name: target.repo }
    this.#path = target.file
    this.#store = store
    this.#hubUrl = (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
    const token = env.HF_TOKEN ? { accessToken: env.HF_TOKEN } : {}
    this.#common = { revision: target.revision, hubUrl: this.#hubUrl, ...token }
  }

  /** Size in bytes, SHA-256 where the hub states one, and an identifier of the content. */
  async describe(): Promise<{ size: number; sha256: string | undefined; etag: string }> {
    const hub = await import('@huggingface/hub')
    try {
      const info = await hub.fileDownloadInfo({ ...this.#common, repo: this.#repo, path: this.#path })
      if (info === null) {
        const files = await this.siblings('gguf').catch(() => [])
        const others = files.length === 0 ? '' : `; its GGUF files are ${files.join(', ')}`
        throw this.failure(`the repository ${this.#repo.name} has no file ${this.#path}${others}`)
      }
      this.#info = info
      const etag = info.etag.replace(/^W\/|"/g, '')
      // The hub's entity tag of a large file is the SHA-256 of its content; the listing states it too.
      const sha256 = /^[0-9a-f]{64}$/.test(etag) ? etag : await this.#listedChecksum()
      return { size: info.size, sha256, etag: etag.replace(/[^0-9A-Za-z]/g, '') || 'unknown' }
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /** Names of the repository's files with this extension. */
  async siblings(extension: string): Promise<string[]> {
    const hub = await import('@huggingface/hub')
    try {
      const names: string[] = []
      for await (const { path, type } of hub.listFiles({ ...this.#common, repo: this.#repo, recursive: true })) {
        if (type === 'file' && path.endsWith(`.${extension}`)) names.push(path)
      }
      return names
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /** The content from byte `offset` on. Ends early or throws when the connection breaks. */
  async *content(offset: number): AsyncGenerator<Uint8Array> {
    const { downloadFile } = await import('@huggingface/hub')
    const abort = new AbortController()
    this.rangeIgnored = false
    const fetchRange: typeof fetch = async (input, init) => {
      const response = await fetch(input, { ...init, signal: abort.signal })
      this.rangeIgnored = offset > 0 && response.status === 200
      if (this.rangeIgnored) throw new Error('the server cannot continue a download')
      return response
    }
    // Plain HTTP: the hub serves every file that way, and it can be continued at any byte.
    const blob = await downloadFile({
      ...this.#common,
      repo: this.#repo,
      path: this.#path,
      xet: false,
      fetch: fetchRange,
      ...(this.#info && { downloadInfo: this.#info }),
    })
    if (blob === null) throw new Error('the file is gone')
    const stall = setTimeout(() => abort.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs)
    try {
      for await (const chunk of (offset > 0 ? blob.slice(offset) : blob).stream()) {
        stall.refresh()
        yield chunk
      }
    } finally {
      clearTimeout(stall)
      // Closes the connection where the reader left early.
      abort.abort()
    }
  }

  /** An error for this file that says how to go on. */
  failure(why: string, cause?: unknown): IncipitError {
    const goOn = `to go on without the hub, put a GGUF file into the model store (${this.#store}) or pass --model PATH`
    return new IncipitError('model_download', `${this.#reference}: ${why}; ${goOn}`, { cause })
  }

  async #listedChecksum(): Promise<string | undefined> {
    const { listFiles } = await import('@huggingface/hub')
    const folder = dirname(this.#path)
    const path = folder === '.' ? {} : { path: folder }
    for await (const entry of listFiles({ ...this.#common, repo: this.#repo, ...path })) {
      if (entry.path === this.#path) return entry.lfs?.oid
    }
    return undefined
  }

  #explain(error: unknown): IncipitError {
    if (error instanceof IncipitError) return error
    const status = (error as Partial<HubApiError>).statusCode
    if (status === 401 || status === 403) {
      const token = this.#common.accessToken ? 'the token in HF_TOKEN does not open it' : 'HF_TOKEN is not set'
      return this.failure(
        `${this.#hubUrl} refuses it (status ${status}): it is private, gated or missing, and ${token}`,
        error,
      )
    }
    if (status === 404) return this.failure(`${this.#hubUrl} has no such repository or revision (status 404)`, error)
    if (status !== undefined) return this.failure(`${this.#hubUrl} answered with status ${status}`, error)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const code = (cause as NodeJS.ErrnoException).code
    const why = code ?? (cause instanceof Error ? cause.message : String(cause))
    if (error instanceof TypeError && cause === error) return this.failure(why, error)
    return this.failure(`${this.#hubUrl} cannot be reached (${why})`, error)
  }
}
