import { architectureOf, type Gguf, layersOf } from '../gguf/index.ts'
import type { ComputeDevice } from './back-ends.ts'
import { cellBytes } from './cell-bytes.ts'

/** What of a model runs on GPUs. */
export interface Offload {
  /** Layers, the last ones of the model. The output counts as one more, as llama.cpp counts it. */
  readonly layers: number
  readonly devices: readonly ComputeDevice[]
}

// For compute buffers, and what else the device does.
const reservedBytes = 768 * 2 ** 20
// A context of usual length: each layer brings its share of the cache along.
const usualCells = 8192

/** What of a model fits into the free memory of these devices; undefined without a GPU. */
export function offload(gguf: Gguf, devices: readonly ComputeDevice[]): Offload | undefined {
  const gpus = devices.filter(({ kind }) => kind === 'gpu')
  if (gpus.length === 0) return undefined
  const free = gpus.reduce((sum, { memory }) => sum + Math.max(0, memory.free - reservedBytes), 0)
  // A device that does not say what it has is taken at its driver's word: loading fails where it is too small.
  const knows = gpus.every(({ memory }) => memory.total > 0)
  return { layers: layersThatFit(gguf, knows ? free : Number.POSITIVE_INFINITY), devices: gpus }
}

function layersThatFit(gguf: Gguf, free: number): number {
  const layers = layersOf(gguf)
  const cacheBytes = (usualCells * cellBytes(gguf.metadata, architectureOf(gguf))) / layers
  const bytes = new Array<number>(layers).fill(cacheBytes)
  let output = 0
  let embeddings = 0
  for (const tensor of gguf.tensors) {
    const layer = Number(/^blk\.(\d+)\./.exec(tensor.name)?.[1] ?? Number.NaN)
    if (layer < layers) bytes[layer]! += tensor.bytes
    else if (tensor.name === 'token_embd.weight') embeddings = tensor.bytes
    else output += tensor.bytes
  }
  // A model without an output matrix of its own has its embeddings there, too.
  const hasOutput = gguf.tensors.some(({ name }) => name === 'output.weight')
  let left = free - output - (hasOutput ? 0 : embeddings)
  if (left < 0) return 0
  let count = 1
  for (const size of bytes.toReversed()) {
    left -= size
    if (left < 0) break
    count++
  }
  return count
}
