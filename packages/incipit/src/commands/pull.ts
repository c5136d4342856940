import type { Command } from 'commander'
import { UsageError } from '../failure.ts'

/** `incipit pull`: a model from the Hugging Face hub into the store. */
export function addPull(program: Command): void {
  program
    .command('pull')
    .description(
      'Download a model into the store; an interrupted download continues. Without a model: list short names.',
    )
    .argument('[model]', 'a short name such as qwen3:4b, hf:owner/repo:Q4_K_M, or hf:owner/repo/file.gguf')
    .action(pull)
}

async function pull(name: string | undefined): Promise<void> {
  const [{ modelStores }, { isHubReference }, { named, shortNames }] = await Promise.all([
    import('../models/store.ts'),
    import('../models/reference.ts'),
    import('../models/short-names.ts'),
  ])
  const { write: store } = await modelStores()
  const names = await shortNames(store)
  if (name === undefined) {
    const width = Math.max(...[...names.keys()].map(({ length }) => length)) + 2
    for (const [name, reference] of names) process.stdout.write(`${name.padEnd(width)}${reference}\n`)
    return
  }
  const reference = isHubReference(name) ? name : named(names, name)
  if (reference === undefined) {
    throw new UsageError(
      `${name} is no short name (\`incipit pull\` lists them) and no reference such as hf:owner/repo:Q4_K_M`,
    )
  }
  const { download } = await import('../models/download.ts')
  process.stdout.write(`${await download(reference, { store })}\n`)
}
