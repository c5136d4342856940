import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** A file of the page, ready to be sent. */
export interface PageFile {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** The same with `content-encoding: gzip`. */
  readonly gzipped: Buffer
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * Nothing but this server's own files runs, and nothing leaves it: a model's words cannot become a script, a style, an
 * image from elsewhere or a form. `blob:` and `data:` images are those that the page draws itself.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

const headers = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  // Asked for again each time, and answered with 304: a new version is never hidden by an old one.
  'cache-control': 'no-cache',
}

/**
 * The files of a built page by their paths, `/` for its `index.html`. They are held in memory: there are few, and a path
 * that is not among them is not looked for anywhere.
 * @param folder undefined, or without an `index.html`: there is no page
 */
export function pageFiles(folder: string | undefined): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>()
  if (folder === undefined || !existsSync(join(folder, 'index.html'))) return files
  for (const name of readdirSync(folder)) {
    const type = types[extname(name)]
    if (type === undefined) continue
    const body = readFileSync(join(folder, name))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    const path = name === 'index.html' ? '/' : `/${name}`
    files.set(path, pageFile({ ...headers, 'content-type': type, etag }, body))
  }
  return files
}

function pageFile(headers: PageFile['headers'], body: Buffer): PageFile {
  // Made when it is wanted: most starts are not followed by a look at the page.
  let gzipped: Buffer | undefined
  return {
    headers,
    body,
    get gzipped() {
      gzipped ??= gzipSync(body)
      return gzipped
    },
  }
}

/** What to answer to a request for a file of the page. */
export function pageAnswer(
  { headers, body, gzipped }: PageFile,
  asked: { readonly 'accept-encoding'?: unknown; readonly 'if-none-match'?: unknown },
): { status: number; headers: Record<string, string>; body: Buffer | undefined } {
  const vary = { ...headers, vary: 'accept-encoding' }
  if (asked['if-none-match'] === headers.etag) return { status: 304, headers: vary, body: undefined }
  const zipped = /\bgzip\b/.test(String(asked['accept-encoding'] ?? ''))
  return {
    status: 200,
    headers: zipped ? { ...vary, 'content-encoding': 'gzip' } : vary,
    body: zipped ? gzipped : body,
  }
}
