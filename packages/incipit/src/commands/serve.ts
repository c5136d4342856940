import { type Command, Option } from 'commander'
import { UsageError } from '../failure.ts'
import { addEngineFlags, addReplyFlags, checkReplyFlags, type EngineFlags, type ReplyFlags } from '../flags.ts'
import { defined, integer, type NamedFile, namedFile } from '../options.ts'
import type { ServeConfig } from '../serve/config.ts'
import { readText } from '../text-file.ts'

interface ServeFlags extends EngineFlags, ReplyFlags {
  model?: string
  host: string
  port: number
  apiKey?: string
  prefix?: NamedFile[]
  page: boolean
}

/** `incipit serve`: an OpenAI-compatible HTTP server, with the engine in a process that is started again when it dies. */
export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve a model over an OpenAI-compatible HTTP API.')
    .option('-m, --model <model>', 'path, name in the store, or hf:owner/repo/file.gguf')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 takes any free one', integer(0, 65_535), 8080)
    .addOption(new Option('--api-key <key>', 'ask clients for this key').env('INCIPIT_API_KEY'))
    .option('--no-page', 'do not show the page at /')
    .option('--parallel <n>', 'most requests that run at once (default: 8)', integer(1))
    .option('--max-waiting <n>', 'most requests that wait for that; further ones get a 503 (default: 1024)', integer(1))
    .option('--context <tokens>', 'most tokens of a request and its reply together', integer(1))
    .option(
      '--prefix <name=file>',
      'a system prompt that is computed at start, or loaded from disk, and kept; may be repeated',
      namedFile,
    )
    .action((flags: ServeFlags, command: Command) => serve(flags, command.parent?.version() ?? ''))
  addEngineFlags(addReplyFlags(command, ', for requests that say nothing'))
}

async function serve(flags: ServeFlags, version: string): Promise<void> {
  checkReplyFlags(flags)
  const { prefix = [], ...others } = flags
  const prefixes = await Promise.all(prefix.map(({ name, file }) => prefixFrom(name, file)))
  const { resolveModel } = await import('../models/resolve.ts')
  const { path } = await resolveModel(flags.model)
  const draft = flags.draft === undefined ? undefined : (await resolveModel(flags.draft, { option: '--draft' })).path
  const config: ServeConfig = { ...others, ...defined({ draft }), model: path, prefixes, version }
  const { serve: serveModel } = await import('../serve/serve.ts')
  await serveModel(config)
}

async function prefixFrom(name: string, file: string): Promise<ServeConfig['prefixes'][number]> {
  // One newline at the end is the editor's, and no client sends it.
  const text = (await readText(file, 'prefix')).replace(/\r?\n$/, '')
  if (text === '') throw new UsageError(`the prefix file ${file} is empty`)
  return { name, text }
}
