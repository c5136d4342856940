import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { CancellationTokenSource } from 'vscode-languageserver-protocol/node'
import type { Stats } from '../src/protocol/messages.ts'
import type { TraceEntry } from '../src/trace.ts'
import { Editor, textOf } from '../test/editor.ts'

/** Something that shows ghost text. */
export interface Contender {
  readonly name: string
  open(path: string, text: string): Promise<void>
  /** Replaces a stretch of the text; the cursor is behind it. What was asked before is not wanted any more. */
  edit(from: number, to: number, text: string): Promise<void>
  /** The ghost text at an offset; undefined when something else was done meanwhile. */
  ghost(offset: number): Promise<string | undefined>
  /** Work since the start. */
  stats(): Promise<Stats>
  /** What became of the last request, where that can be asked. */
  last?(): Promise<TraceEntry | undefined>
  close(): Promise<void>
}

/** Our language server, over standard input and output. */
export async function languageServer(name: string, settings: object): Promise<Contender> {
  const editor = await Editor.start({ settings: { ...settings } })
  await editor.until('ready')
  let uri = ''
  let source = new CancellationTokenSource()
  return {
    name,
    async open(path, text) {
      if (uri !== '') await editor.close(uri)
      uri = pathToFileURL(path).href
      await editor.open(uri, text)
    },
    async edit(from, to, text) {
      source.cancel()
      await editor.edit(uri, from, to, text)
    },
    async ghost(offset) {
      source = new CancellationTokenSource()
      const { token } = source
      const items = await editor.complete(uri, offset, { token }).catch(() => [])
      return token.isCancellationRequested ? undefined : textOf(items[0])
    },
    stats: () => editor.connection.sendRequest('incipit/stats'),
    last: async () => (await editor.trace()).at(-1),
    close: async () => void (await editor.quit()),
  }
}

/** A llama-server for a model, with the suffix first where `spm` says so. */
export async function llamaServer(
  binary: string,
  model: string,
  { spm, context, threads, port }: { spm: boolean; context: number; threads: number; port: number },
): Promise<{ url: string; fillsIn: boolean; process: ChildProcess }> {
  const args = ['-m', model, '--port', `${port}`, '-c', `${context}`, '-np', '1']
  if (threads > 0) args.push('-t', `${threads}`)
  const child = spawn(binary, [...args, ...(spm ? ['--spm-infill'] : [])], { stdio: 'ignore' })
  // Also where this ends with an error.
  process.once('exit', () => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; !(await isThere(`${url}/health`)); tries++) {
    if (tries === 300) throw new Error('llama-server does not answer')
    await sleep(100)
  }
  // It refuses that for a model without the tokens.
  const fillsIn = await isThere(`${url}/infill`, JSON.stringify({ input_prefix: 'a', input_suffix: 'b', n_predict: 0 }))
  return { url, fillsIn, process: child }
}

async function isThere(url: string, body?: string): Promise<boolean> {
  const answer = await fetch(url, body === undefined ? {} : { method: 'POST', body }).catch(() => undefined)
  await answer?.body?.cancel()
  return answer?.ok ?? false
}

export async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  // It waits for connections that are kept, and nothing of it is wanted any more.
  child.kill('SIGKILL')
  await gone
}

/**
 * What a simple plugin does: `/infill` at every keystroke with the cache on, up to the end of the line; `/completion` for a
 * model that knows no middle.
 */
export function plainInfill(
  name: string,
  url: string,
  {
    maxTokens,
    fillsIn,
    characters,
  }: { maxTokens: number; fillsIn: boolean; characters: { before: number; after: number } },
): Contender {
  let text = ''
  let abort = new AbortController()
  const stats = { completions: 0, saidTokens: 0, promptTokens: 0, cachedTokens: 0 }
  return {
    name,
    async open(_path, opened) {
      text = opened
    },
    async edit(from, to, inserted) {
      abort.abort()
      text = text.slice(0, from) + inserted + text.slice(to)
    },
    async ghost(offset) {
      abort = new AbortController()
      const { signal } = abort
      const before = text.slice(Math.max(0, offset - characters.before), offset)
      const after = text.slice(offset, offset + characters.after)
      const prompt = fillsIn ? { input_prefix: before, input_suffix: after, prompt: '' } : { prompt: before }
      const common = { n_predict: maxTokens, stop: ['\n'], temperature: 0, top_k: 1, cache_prompt: true }
      try {
        const answer = await fetch(`${url}${fillsIn ? '/infill' : '/completion'}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ ...prompt, ...common }),
          signal,
        })
        // More tokens than fit, in a text of many signs.
        if (!answer.ok) {
          await answer.body?.cancel()
          return ''
        }
        const { content, timings } = (await answer.json()) as {
          content: string
          timings: { cache_n: number; prompt_n: number; predicted_n: number }
        }
        stats.completions++
        stats.saidTokens += timings.predicted_n
        stats.promptTokens += timings.cache_n + timings.prompt_n
        stats.cachedTokens += timings.cache_n
        return content
      } catch (error) {
        if (signal.aborted) return undefined
        throw error
      }
    },
    stats: async () => ({ ...stats }),
    async close() {},
  }
}
