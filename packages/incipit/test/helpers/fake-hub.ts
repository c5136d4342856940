import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeHubOptions {
  /** Content by `owner/repo/path`. */
  files: Readonly<Record<string, Uint8Array>>
  /** The connection breaks after this many bytes of the n-th content response; undefined sends all. */
  breakAfter?: (attempt: number) => number | undefined
  /** Answers with the whole file whatever range was asked for. */
  ignoreRange?: boolean
  /** The entity tag instead of the SHA-256 of the content; the listing has the SHA-256. */
  etag?: string
  /** Another host, which has the content: what is asked for a file is sent there. */
  redirectTo?: string
  /** The size that it states, whatever it has. */
  announced?: number
}

/** The endpoints of the Hugging Face hub that a download needs, on 127.0.0.1. */
export class FakeHub implements AsyncDisposable {
  readonly url: string
  /** `Range` header of every content request, '' without one. */
  readonly ranges: string[] = []
  /** `Authorization` headers of all requests. */
  readonly authorizations = new Set<string | undefined>()
  readonly #server: ReturnType<typeof createServer>

  private constructor(server: ReturnType<typeof createServer>, port: number) {
    this.#server = server
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(options: FakeHubOptions): Promise<FakeHub> {
    const server = createServer((request, response) => hub.#answer(request, response, options))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const hub: FakeHub = new FakeHub(server, (server.address() as AddressInfo).port)
    return hub
  }

  #answer(request: IncomingMessage, response: ServerResponse, options: FakeHubOptions): void {
    this.authorizations.add(request.headers.authorization)
    const path = decodeURIComponent(new URL(request.url ?? '', this.url).pathname)
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/main/.exec(path)
    const file = /^\/([^/]+\/[^/]+)\/resolve\/main\/(.+)$/.exec(path)
    if (tree) this.#list(response, `${tree[1]}/`, options)
    else if (file) this.#serve(request, response, file[1] ?? '', file[2] ?? '', options)
    else response.writeHead(404).end()
  }

  #list(response: ServerResponse, prefix: string, { files }: FakeHubOptions): void {
    const entries = Object.entries(files)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, content]) => ({
        type: 'file',
        path: name.slice(prefix.length),
        size: content.length,
        oid: 'git',
        lfs: { oid: sha256(content), size: content.length, pointerSize: 130 },
      }))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(entries))
  }

  #serve(
    request: IncomingMessage,
    response: ServerResponse,
    repo: string,
    path: string,
    { files, breakAfter, ignoreRange, etag, redirectTo, announced }: FakeHubOptions,
  ): void {
    const content = files[`${repo}/${path}`]
    if (content === undefined) {
      const known = Object.keys(files).some((name) => name.startsWith(`${repo}/`))
      response.writeHead(404, { 'x-error-code': known ? 'EntryNotFound' : 'RepoNotFound' }).end()
      return
    }
    if (redirectTo !== undefined) {
      response.writeHead(302, { location: `${redirectTo}${request.url}` }).end()
      return
    }
    const range = request.headers.range ?? ''
    const headers = { etag: '"git"', 'x-linked-etag': `"${etag ?? sha256(content)}"` }
    // The question about the file, not for it.
    if (range === 'bytes=0-0') {
      response
        .writeHead(206, { ...headers, 'content-range': `bytes 0-0/${announced ?? content.length}` })
        .end(content.subarray(0, 1))
      return
    }
    const attempt = this.ranges.push(range) - 1
    const match = ignoreRange ? null : /^bytes=(\d+)-(\d+)$/.exec(range)
    if (Number(match?.[1]) >= content.length) {
      response.writeHead(416).end()
      return
    }
    const body = match ? content.subarray(Number(match[1]), Number(match[2]) + 1) : content
    response.writeHead(match ? 206 : 200, { ...headers, 'content-length': body.length })
    const end = breakAfter?.(attempt)
    if (end === undefined) response.end(body)
    else response.write(body.subarray(0, end), () => setTimeout(() => response.destroy(), 20))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** A port of 127.0.0.1 at which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
