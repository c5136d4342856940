import type { Command } from 'commander'
import { UsageError } from '../failure.ts'

/** `incipit pull`: a model from the Hugging Face hub into the store. */
export function addPull(program: Command): void {
  program
    .command('pull')
    .description('Download a model into the store; an interrupted download continues.')
    .argument('<model>', 'hf:owner/repo/file.gguf (hf:owner/repo lists the files)')
    .action(pull)
}

async function pull(reference: string): Promise<void> {
  if (!reference.startsWith('hf:')) throw new UsageError(`${reference}: a reference reads hf:owner/repo/file.gguf`)
  const { download } = await import('../models/download.ts')
  const { modelStores } = await import('../models/store.ts')
  const path = await download(reference, { store: (await modelStores()).write })
  process.stdout.write(`${path}\n`)
}
