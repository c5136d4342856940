import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { addChat } from './commands/chat.ts'
import { addDoctor } from './commands/doctor.ts'
import { addInspect } from './commands/inspect.ts'
import { addList } from './commands/list.ts'
import { addLsp } from './commands/lsp.ts'
import { addPull } from './commands/pull.ts'
import { addRm } from './commands/rm.ts'
import { addRun } from './commands/run.ts'
import { addServe } from './commands/serve.ts'
import { addSimulate } from './commands/simulate.ts'
import { addTune } from './commands/tune.ts'

/** The version of this package, e.g. `0.1.0`. */
function version(): string {
  const path = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

/**
 * The command line. Parsing throws `CommanderError` for wrong usage (and for `--help` and `--version`) instead of
 * ending the process. Commands import the engine when they run, so that `--help` needs no native library.
 */
export function createProgram(): Command {
  const program = new Command('incipit')
    .description('A language model engine that shows its first word early.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError('(incipit --help lists the commands and options)')
    // Subcommands inherit this, so it comes before them.
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'incipit: ')) })
    .addHelpText('after', environment)
  addRun(program)
  addChat(program)
  addServe(program)
  addLsp(program)
  addPull(program)
  addList(program)
  addRm(program)
  addInspect(program)
  addTune(program)
  addSimulate(program)
  addDoctor(program)
  return program
}

const environment = `
A model is a path, the name of a model in the store, a short name such as qwen3:4b (incipit pull lists them), or
hf:owner/repo/file.gguf or hf:owner/repo:Q4_K_M on the hub; what is not there is downloaded.
Without --model, $INCIPIT_MODEL is used, then the best fitting model of the store.

Environment:
  INCIPIT_MODEL    the model to use without --model
  INCIPIT_MODELS   the folder of the model store (default: "models" in the cache)
  INCIPIT_CACHE    the folder for everything derived from models
  INCIPIT_DEBUG    1 prints stacks and the engine's log
  HF_ENDPOINT, HF_TOKEN  where hf: models come from, and with which token
`
