import { type Command, Option } from 'commander'
import { engineOptions } from '../flags.ts'
import type { HostedEngine } from '../lsp/engine-host.ts'

interface LspFlags {
  stdio?: boolean
  host?: string
}

/** `incipit lsp`: a language server on standard input and output, for editors to start. */
export function addLsp(program: Command): void {
  program
    .command('lsp')
    .description('Complete code in an editor: a language server on standard input and output.')
    .option('--stdio', 'what some editors pass; it is the only way there is')
    // How a language server starts the engine that editors share.
    .addOption(new Option('--host <engine>').hideHelp())
    .action((flags: LspFlags, command: Command) =>
      flags.host === undefined ? serve(command.parent?.version() ?? '') : host(JSON.parse(flags.host)),
    )
}

async function host(hosted: HostedEngine): Promise<void> {
  const { hostEngine } = await import('../lsp/engine-host.ts')
  await hostEngine(hosted, engineOptions({}))
}

async function serve(version: string): Promise<void> {
  const [{ serveLanguage }, { codeModels }, { openBackend }] = await Promise.all([
    import('@incipit/lsp'),
    import('../lsp/code-models.ts'),
    import('../lsp/open-backend.ts'),
  ])
  await serveLanguage(process.stdin, process.stdout, {
    version,
    openBackend: (settings, log) => openBackend(settings, { ...engineOptions({}), log: (_level, line) => log(line) }),
    models: codeModels,
  })
  process.exit(0)
}
