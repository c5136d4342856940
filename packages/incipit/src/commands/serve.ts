import { type Command, Option } from 'commander'
import { addEngineFlags, addReplyFlags, checkReplyFlags } from '../flags.ts'
import { collect, decimal, defined, integer, memory, namedFile } from '../options.ts'
import type { ModelFlags } from '../serve/models/model-configs.ts'

interface ServeFlags extends ModelFlags {
  host: string
  port: number
  apiKey?: string
  strictModel?: boolean
  page: boolean
}

/** `incipit serve`: an OpenAI-compatible HTTP server, with the engine in a process that is started again when it dies. */
export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve models over an OpenAI-compatible HTTP API.')
    .option(
      '-m, --model <model>',
      'path, name in the store, short name, or hf:owner/repo/file.gguf; may be repeated: then each is loaded when it is asked for',
      collect,
    )
    .option('--models <file>', 'several models with options of their own: a JSON file, see docs/server.md')
    .option('--strict-model', 'one model alone refuses requests for one of another name')
    .option('--memory <size>', 'what loaded models may take together, e.g. 12GiB (default: 80% of the memory)', memory)
    .option(
      '--unload-after <seconds>',
      'unload one of several models when it was not used for so long; 0: never',
      decimal(0),
      600,
    )
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
  const { modelConfigs } = await import('../serve/models/model-configs.ts')
  const { usualMemory } = await import('../serve/models/memory-size.ts')
  const { models, memory = usualMemory() } = await modelConfigs(flags)
  const { host, port, apiKey, page, strictModel = false } = flags
  const { serve: serveModels } = await import('../serve/serve.ts')
  await serveModels({ models, memory, strictModel, host, port, page, ...defined({ apiKey }), version })
}
