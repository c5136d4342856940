import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeChatStories } from '../../../engine/test/fixtures/chat-stories.ts'

export { prelude } from '../../../engine/test/fixtures/prelude.ts'

/** The command line's entry. */
export const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** The folder of models for the tests: INCIPIT_MODELS, else `../shared/models` beside the repository root. */
const store = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../../shared/models', import.meta.url))

/** A model of 260 thousand parameters without a chat template: loads in milliseconds. */
export const stories = 'stories260K'

/** A chat model of 135 million parameters. */
export const smol = 'SmolLM2-135M-Instruct.Q4_1'

/** For the `skip` option of a test: false, or what is missing and how to provide it. */
export function missing(...models: string[]): string | false {
  const gone = models.map((model) => join(store, `${model}.gguf`)).find((path) => !existsSync(path))
  return gone === undefined ? false : `${gone} is missing: set INCIPIT_MODELS to a folder that has it`
}

const cache = mkdtempSync(join(tmpdir(), 'incipit-test-cache-'))
process.once('exit', () => rmSync(cache, { recursive: true, force: true }))

let chatting: Promise<string> | undefined
/** `stories` with a chat template: its path. For what hangs on there being one, and not on what is said. */
export function chatStories(): Promise<string> {
  const path = join(cache, 'chat-stories.gguf')
  chatting ??= writeChatStories(path).then(() => path)
  return chatting
}

/** The environment of every command in the tests: nothing of this user's own settings. */
export const environment: NodeJS.ProcessEnv = {
  PATH: process.env.PATH,
  ...(process.env.NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
  HOME: cache,
  INCIPIT_CACHE: cache,
  INCIPIT_MODELS: store,
}

/** For commands that need no native library, which takes half a second to load: with these settings it cannot be. */
export const withoutNative: NodeJS.ProcessEnv = {
  NODE_OPTIONS: `--import=${new URL('no-native.ts', import.meta.url)}`,
}

/** For commands whose guesses must be tried, whatever rows cost on this machine. */
export const withFreeRows: NodeJS.ProcessEnv = {
  NODE_OPTIONS: `--import=${new URL('free-rows.ts', import.meta.url)}`,
}

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Starts `incipit ...args` with piped output; `ended` collects it. */
export function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [main, ...args], { env: { ...environment, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  // Commands that read no input close its pipe.
  child.stdin.on('error', () => {})
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, stdout, stderr }))
  return { child, ended, output: () => stdout + stderr }
}

/** Runs `incipit ...args` to its end. */
export async function incipit(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { child, ended } = start(args, options.env)
  child.stdin.end(options.input ?? '')
  return ended
}

/** Resolves when the command has printed this; fails when it ends first. */
export async function printed(command: ReturnType<typeof start>, pattern: RegExp): Promise<RegExpExecArray> {
  let over = false
  void command.ended.then(() => (over = true))
  for (;;) {
    const match = pattern.exec(command.output())
    if (match) return match
    if (over) throw new Error(`ended without printing ${pattern}:\n${command.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
