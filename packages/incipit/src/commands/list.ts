import type { Command } from 'commander'

/** `incipit list`: the models of the store. */
export function addList(program: Command): void {
  program.command('list').description('List the models of the store.').action(list)
}

async function list(): Promise<void> {
  const [{ embeddedModels, listAll, modelStores }, { bytes }] = await Promise.all([
    import('../models/store.ts'),
    import('../models/progress.ts'),
  ])
  const { read } = await modelStores()
  const stored = (await Promise.all(read.map(listAll))).flat()
  const all = [...stored, ...(await embeddedModels())]
  const rows = all.map(({ name, size, modified, complete }) => [
    name,
    bytes(size),
    complete ? modified.toISOString().slice(0, 10) : 'interrupted: `incipit pull` continues',
  ])
  const table = [['NAME', 'SIZE', 'MODIFIED'], ...rows]
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column]!.length)))
  for (const [name = '', size = '', modified = ''] of table) {
    process.stdout.write(`${name.padEnd(widths[0]!)}  ${size.padStart(widths[1]!)}  ${modified}\n`)
  }
}
