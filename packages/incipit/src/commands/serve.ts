import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Command, Option } from 'commander'
import { cut, type EngineFlags, integer } from '../options.ts'
import type { ServeConfig } from '../serve/config.ts'
import { supervise } from '../serve/supervise.ts'

interface ServeFlags extends EngineFlags {
  model?: string
  host: string
  port: number
  apiKey?: string
}

/** `incipit serve`: an OpenAI-compatible HTTP server, in a worker process that is started again when it crashes. */
export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Serve a model over an OpenAI-compatible HTTP API.')
    .option('-m, --model <model>', 'path, name in the store, or hf:owner/repo/file.gguf')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 takes any free one', integer(0, 65_535), 8080)
    .addOption(new Option('--api-key <key>', 'ask clients for this key').env('INCIPIT_API_KEY'))
    .option('--cut <layers>', 'auto, none, or layers to cut before, such as 8 or 8,16 (default: auto)', cut)
    .option('--parallel <n>', 'most requests that run at once (default: 8)', integer(1))
    .option('--context <tokens>', 'most tokens of a request and its reply together', integer(1))
    .option('--threads <n>', 'compute threads (default: all cores)', integer(1))
    .action((flags: ServeFlags, command: Command) => serve(flags, command.parent?.version() ?? ''))
}

async function serve(flags: ServeFlags, version: string): Promise<void> {
  const { resolveModel } = await import('../models/resolve.ts')
  const { path } = await resolveModel(flags.model)
  const worker = fileURLToPath(new URL('../serve/worker.ts', import.meta.url))
  process.exitCode = await supervise({
    start(port) {
      const child = fork(worker, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      const config: ServeConfig = {
        ...flags,
        model: path,
        // With --port 0 a restart keeps the port that clients know by now.
        port: port ?? flags.port,
        version,
        restarted: port !== undefined,
      }
      child.send(config)
      return child
    },
    say: (line) => process.stderr.write(`incipit: ${line}\n`),
  })
}
