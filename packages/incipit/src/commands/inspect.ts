import type { Command } from 'commander'

/** `incipit inspect`: what a model file is and what incipit can do with it, from its header alone. */
export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description('Say what a model file holds and what can be done with it.')
    .argument(
      '[model]',
      'path, name in the store, short name, or hf:owner/repo/file.gguf; without it the default model',
    )
    .action(inspect)
}

async function inspect(reference: string | undefined): Promise<void> {
  const { resolveModel } = await import('../models/resolve.ts')
  const { describeModel } = await import('../models/describe.ts')
  const { path } = await resolveModel(reference)
  process.stdout.write(await describeModel(path))
}
