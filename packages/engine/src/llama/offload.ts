import { architectureOf, type Gguf, layersOf } from '../gguf/index.ts'
import type { ComputeDevice } from './back-ends.ts'
import { cellBytes } from './cell-bytes.ts'

/** What of a model runs on GPUs. */
export interface Offload {
  /** Layers, the last ones of the model. The output counts as one more, as llama.cpp counts it. */
  readonly layers: number
  readonly devices: readonly ComputeDevice[]
  /** Bytes of the weights that are copied to the devices, and of those that stay in main memory. */
  readonly bytes: number
  readonly mainBytes: number
  /** The part of a KV cache that lies on the devices, 0 to 1. */
  readonly cacheShare: number
  /** Bytes that the devices have beside these weights, free at the moment or not; Infinity where they do not say. */
  readonly beside: number
}

export interface OffloadOptions {
  /** KV cells that its context will have. Default: a context of usual length. */
  readonly cells?: number
  /** Bytes of the devices' free memory that something else will need. Default 0. */
  readonly reserved?: number
}

// For compute buffers, and what else the device does.
const reservedBytes = 768 * 2 ** 20
const usualCells = 8192

/** GPUs together. Bytes are Infinity where one of them does not say what it has; undefined without a GPU. */
export function gpusOf(devices: readonly ComputeDevice[]) {
  const all = devices.filter(({ kind }) => kind === 'gpu')
  if (all.length === 0) return undefined
  // A device that does not say what it has is taken at its driver's word: loading fails where it is too small.
  const knows = all.every(({ memory }) => memory.total > 0)
  const sum = (of: 'free' | 'total') =>
    knows ? all.reduce((sum, { memory }) => sum + memory[of], 0) : Number.POSITIVE_INFINITY
  return {
    all,
    names: all.map(({ description }) => description).join(', '),
    free: sum('free'),
    total: sum('total'),
    reserved: all.length * reservedBytes,
  }
}

/**
 * As many of a model's last layers as fit into the free memory of these devices, each with its part of the KV cache;
 * undefined without a GPU.
 */
export function offload(
  gguf: Gguf,
  devices: readonly ComputeDevice[],
  { cells = usualCells, reserved = 0 }: OffloadOptions = {},
): Offload | undefined {
  const gpus = gpusOf(devices)
  if (gpus === undefined) return undefined
  const parts = partsOf(gguf)
  const cacheBytes = (cells * cellBytes(gguf.metadata, architectureOf(gguf))) / parts.layers.length
  let left = gpus.free - gpus.reserved - reserved - parts.output
  let layers = 0
  let bytes = 0
  if (left >= 0) {
    layers = 1
    bytes = parts.output
    for (const layer of parts.layers.toReversed()) {
      left -= layer + cacheBytes
      if (left < 0) break
      layers++
      bytes += layer
    }
  }
  return {
    layers,
    devices: gpus.all,
    bytes,
    mainBytes: gguf.size - bytes + (layers > 0 ? parts.twice : 0),
    cacheShare: Math.max(0, layers - 1) / parts.layers.length,
    beside: gpus.total - gpus.reserved - bytes,
  }
}

/** Bytes of a model's layers, of its output, and of what lies in main memory and with the output. */
function partsOf(gguf: Gguf): { layers: number[]; output: number; twice: number } {
  const layers = new Array<number>(layersOf(gguf)).fill(0)
  let output = 0
  let embeddings = 0
  for (const { name, bytes } of gguf.tensors) {
    const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? Number.NaN)
    if (layer < layers.length) layers[layer]! += bytes
    else if (name === 'token_embd.weight') embeddings = bytes
    else output += bytes
  }
  // A model without an output matrix of its own has its embeddings there, too.
  const twice = gguf.tensors.some(({ name }) => name === 'output.weight') ? 0 : embeddings
  return { layers, output: output + twice, twice }
}
