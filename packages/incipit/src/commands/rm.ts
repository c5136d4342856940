import type { Command } from 'commander'

/** `incipit rm`: removes models from the store. */
export function addRm(program: Command): void {
  program
    .command('rm')
    .description('Remove models from the store, and what is left of interrupted downloads of them.')
    .argument('<model...>', 'names, as `incipit list` shows them')
    .action(remove)
}

async function remove(names: readonly string[]): Promise<void> {
  const [{ modelStores }, { removeModel }, { bytes }] = await Promise.all([
    import('../models/store.ts'),
    import('../models/remove.ts'),
    import('../models/progress.ts'),
  ])
  const { write: store } = await modelStores()
  for (const name of names) {
    const model = await removeModel(store, name)
    process.stdout.write(`removed ${model.name} (${bytes(model.size)})\n`)
  }
}
