import { failureLine } from '../failure.ts'
import { cacheRows, environmentRows, modelRows, storeRows } from './files.ts'
import { machineRows } from './machine.ts'
import type { Row } from './row.ts'

export interface Examination {
  lines: readonly string[]
  /** A model can be run here. */
  works: boolean
}

/** Looks at everything that a run of this program depends on. What fails is said, and the rest is looked at all the same. */
export async function examine(version: string): Promise<Examination> {
  let works = true
  const rows: Row[] = []
  const add = async (name: string, look: () => readonly Row[] | Promise<readonly Row[]>) => {
    try {
      rows.push(...(await look()))
    } catch (error) {
      works = false
      rows.push([name, `FAILED: ${failureLine(error)}`])
    }
  }
  await add('machine', machineRows)
  await add('llama.cpp', async () => (await import('./library.ts')).libraryRows())
  await add('store', storeRows)
  await add('model', modelRows)
  await add('cache', cacheRows)
  await add('environment', environmentRows)
  return { lines: [`incipit ${version}`, ...rows.map(([name, value]) => `  ${name.padEnd(14)}${value}`)], works }
}
