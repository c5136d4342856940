import type { Command } from 'commander'
import { engineOptions } from '../flags.ts'

interface LspFlags {
  stdio?: boolean
}

/** `incipit lsp`: a language server on standard input and output, for editors to start. */
export function addLsp(program: Command): void {
  program
    .command('lsp')
    .description('Complete code in an editor: a language server on standard input and output.')
    .option('--stdio', 'what some editors pass; it is the only way there is')
    .action((_flags: LspFlags, command: Command) => serve(command.parent?.version() ?? ''))
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
