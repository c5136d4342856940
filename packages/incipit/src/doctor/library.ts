import { type ComputeDevice, inspectLibrary, type LibraryReport } from '@incipit/engine'
import { bytes } from '../models/progress.ts'
import { type Row, rowsOf } from './row.ts'

/** llama.cpp's library: where it is, which build computes, on what. */
export function libraryRows(): Row[] {
  const report = inspectLibrary()
  const { release, from, directory, instructions, devices } = report
  return [
    ['llama.cpp', `${release} of ${from}`],
    ['', directory],
    ...rowsOf('cpu variant', variant(report)),
    ['instructions', instructions],
    ...rowsOf('devices', devices.map(device)),
    ...rowsOf('gpu', gpu(report)),
  ]
}

function variant({ variants }: LibraryReport): string[] {
  const chosen = variants.at(-1)
  if (chosen === undefined) return ['one build for every CPU of this kind']
  const refused = variants.filter(({ score }) => score === 0).map(({ name }) => name)
  const others = variants.slice(refused.length, -1).map(({ name }) => name)
  return [
    `${chosen.name}: of those that run here, the one that uses most of this CPU's instructions`,
    ...(others.length > 0 ? [`would run, too: ${others.join(', ')}`] : []),
    ...(refused.length > 0 ? [`cannot run here: ${refused.join(', ')}`] : []),
  ]
}

function device({ name, description, memory }: ComputeDevice): string {
  return `${name}: ${description}${memory.total > 0 ? `, ${bytes(memory.free)} of ${bytes(memory.total)} free` : ''}`
}

function gpu({ devices, gpuPackages }: LibraryReport): string[] {
  const found = devices.filter(({ kind }) => kind === 'gpu').map(({ name }) => name)
  if (found.length > 0) return [`layers that fit run on ${found.join(', ')}`]
  if (gpuPackages.length === 0) return ['none: for this platform there is no further library']
  return gpuPackages.map(({ name, state }) =>
    state === 'not installed' ? `${name} is not installed` : `${name} finds no device: is its driver installed?`,
  )
}
