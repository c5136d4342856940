import { IncipitError } from '../api/errors.ts'
import {
  crossLayerKeys,
  cuttableArchitectures,
  isOutputNorm,
  layerOutputs,
  layerPeriods,
  layerScale,
  notPerLayer,
  outputRequired,
} from './cut-rules.ts'
import { type GgufArray, type GgufValue, metadataNumber, metadataString } from './metadata.ts'
import type { Gguf } from './read.ts'
import { F32, tensorBytes } from './tensor-types.ts'
import { copyOf, type TensorToWrite, writeGguf, zeros } from './write.ts'

/** Layers `from` to `to - 1` of a model. `last`: its output decides. */
export interface StagePlan {
  readonly from: number
  readonly to: number
  readonly last: boolean
}

/** An exit's own output matrix: `shape` is [n_embd, vocabulary], `data` its bytes in the ggml type `type`. */
export interface ExitHead {
  readonly type: number
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** What `cutStage` writes: a stage, the content hash of the model it is cut from, and perhaps an exit head. */
export interface StageCut extends StagePlan {
  readonly hash: string
  /** Not for the last stage. */
  readonly head?: ExitHead
}

/** `general.architecture`. Errors: `model_invalid` without one. */
export function architectureOf(gguf: Gguf): string {
  const architecture = metadataString(gguf.metadata, 'general.architecture')
  if (architecture !== undefined && architecture !== '') return architecture
  throw new IncipitError('model_invalid', `${gguf.path}: general.architecture is missing`)
}

/** Number of layers. Errors: `model_invalid` without one. */
export function layersOf(gguf: Gguf): number {
  const key = `${architectureOf(gguf)}.block_count`
  const layers = metadataNumber(gguf.metadata, key)
  if (layers !== undefined && Number.isSafeInteger(layers) && layers > 0) return layers
  throw new IncipitError('model_invalid', `${gguf.path}: ${key} is missing or no positive number`)
}

/**
 * The stages of a model that is cut before each layer of `at` (ascending, 1 <= layer < layers). An empty `at` gives one
 * stage, and is never refused.
 *
 * Errors: `invalid_request` for other lists, `cut_refused` where staged computation is known to differ from uncut, or
 * the library cannot report the state between layers.
 */
export function planCut(gguf: Gguf, at: readonly number[]): StagePlan[] {
  const layers = layersOf(gguf)
  at.forEach((layer, i) => {
    const above = i === 0 ? 0 : at[i - 1]!
    if (Number.isInteger(layer) && layer > above && layer < layers) return
    const message = `cut at [${at.join(', ')}]: layers must ascend, from 1 to ${layers - 1} for this model`
    throw new IncipitError('invalid_request', message, { param: 'cut' })
  })
  if (at.length > 0) checkCuttable(gguf, at)
  const bounds = [0, ...at, layers]
  return bounds.slice(1).map((to, i) => ({ from: bounds[i]!, to, last: to === layers }))
}

function checkCuttable(gguf: Gguf, at: readonly number[]): void {
  const refuse = (why: string) => new IncipitError('cut_refused', `${gguf.path} cannot be cut: ${why}`)
  const architecture = architectureOf(gguf)
  if (!cuttableArchitectures.has(architecture)) {
    throw refuse(`the library does not report the layer inputs of the architecture '${architecture}'`)
  }
  if (gguf.metadata.has('incipit.stage.from')) throw refuse('it is a stage of a model already')
  if ((metadataNumber(gguf.metadata, 'split.count') ?? 1) > 1) throw refuse('it is split over several files')
  for (const { key, why } of crossLayerKeys) {
    if ((metadataNumber(gguf.metadata, `${architecture}.${key}`) ?? 0) > 0) throw refuse(why)
  }
  for (const { key, defaults, unless } of layerPeriods) {
    if (gguf.metadata.get(`${architecture}.${unless}`)?.type === 'array') continue
    const period = metadataNumber(gguf.metadata, `${architecture}.${key}`) ?? defaults[architecture] ?? 1
    const off = at.find((layer) => period > 1 && layer % period !== 0)
    if (off !== undefined) throw refuse(`its layers repeat with period ${period}, and ${off} is not a multiple of it`)
  }
  for (const layer of at) {
    const outputs = gguf.tensors.filter(({ name }) => layerOutputs.test(layerTensor(name, layer) ?? ''))
    if (outputs.length === 0) throw refuse(`layer ${layer} has no known output tensor, so it has no identity`)
  }
}

/**
 * Writes one stage of a model as a model file of its own: its layers, counted from 0, and what belongs to no layer.
 * A stage that is not the last has one layer more, whose input is the state that goes to the next stage and whose output
 * goes to the head: the layer that the model carries for its exit, else the identity (a copy of the next layer that adds
 * nothing). The head is `head` on an unweighted norm where one is given (it is fitted behind the identity), else the
 * token embedding. The file must not exist yet.
 *
 * Errors: `cut_refused` for a head or an exit layer that does not fit the model, and those of `writeGguf`.
 */
export async function cutStage(gguf: Gguf, stage: StageCut, destination: string): Promise<void> {
  await writeGguf(destination, stageMetadata(gguf, stage), stageTensors(gguf, stage))
}

function stageMetadata(gguf: Gguf, stage: StageCut): Map<string, GgufValue> {
  const prefix = `${architectureOf(gguf)}.`
  const layers = layersOf(gguf)
  // The exit layer is like layer `to`, also in the arrays.
  const end = stage.last ? stage.to : stage.to + 1
  const metadata = new Map<string, GgufValue>()
  for (const [key, value] of gguf.metadata) {
    if (key.startsWith(exitWeights)) continue
    metadata.set(key, key.startsWith(prefix) ? forStage(key.slice(prefix.length), value) : value)
  }
  metadata.set('incipit.stage.from', { type: 'u32', value: stage.from })
  metadata.set('incipit.stage.to', { type: 'u32', value: stage.to })
  metadata.set('incipit.model.hash', { type: 'string', value: stage.hash })
  return metadata

  function forStage(key: string, value: GgufValue): GgufValue {
    if (key === 'block_count') return sameType(value, () => end - stage.from)
    // The first n layers of the model have no experts.
    if (key === 'leading_dense_block_count') return sameType(value, (n) => Math.max(0, n - stage.from))
    if (value.type !== 'array' || value.value.length !== layers || notPerLayer.has(key)) return value
    return { ...value, value: value.value.slice(stage.from, end) } as GgufArray
  }
}

function sameType(value: GgufValue, change: (n: number) => number): GgufValue {
  if (typeof value.value === 'bigint') return { ...value, value: BigInt(change(Number(value.value))) } as GgufValue
  if (typeof value.value === 'number') return { ...value, value: change(value.value) } as GgufValue
  return value
}

function stageTensors(gguf: Gguf, stage: StageCut): TensorToWrite[] {
  const architecture = architectureOf(gguf)
  const { from, to, last } = stage
  const head = last ? undefined : stage.head
  const tensors: TensorToWrite[] = []
  for (const tensor of gguf.tensors) {
    const { name } = tensor
    const layer = layerOf(name)
    if (layer !== undefined) {
      if (layer >= from && layer < to) tensors.push({ ...copyOf(gguf, tensor), name: renumber(name, layer - from) })
    } else if (name.startsWith('output.')) {
      if (last || (head === undefined && outputRequired.has(architecture))) tensors.push(copyOf(gguf, tensor))
    } else if (head !== undefined && isOutputNorm(architecture, name)) {
      tensors.push(ones(name, tensor.shape))
    } else if (head === undefined || name !== 'output_norm.bias') {
      tensors.push(copyOf(gguf, tensor))
    }
  }
  if (head !== undefined) tensors.push(headTensor(gguf, head))
  if (!last) {
    const trained = from === 0 && head === undefined && carriesExitLayer(gguf, to)
    tensors.push(...(trained ? exitLayer(gguf, to) : identity(gguf, to, to - from)))
  }
  return tensors
}

/**
 * Metadata keys of a trained exit layer: for each tensor of the layer after the exit, as `incipit.exit.weights.` and the
 * rest of its name, the bytes of the exit layer's one, in the same type and shape. (llama.cpp loads no file with tensors
 * that it does not know, so they cannot be tensors of the model.)
 */
const exitWeights = 'incipit.exit.weights.'

function carriesExitLayer(gguf: Gguf, at: number): boolean {
  const weights = gguf.metadata.keys().some((key) => key.startsWith(exitWeights))
  return weights && metadataNumber(gguf.metadata, 'incipit.exit.layer') === at
}

/** The layer between layer `at` and the exit's norm and head, as the model carries it. */
function exitLayer(gguf: Gguf, at: number): TensorToWrite[] {
  return gguf.tensors.flatMap((tensor) => {
    const rest = layerTensor(tensor.name, at)
    if (rest === undefined) return []
    const carried = gguf.metadata.get(exitWeights + rest)
    const data = carried?.type === 'array' && carried.of === 'u8' ? carried.value : undefined
    if (data?.byteLength !== tensor.bytes) {
      const given = data === undefined ? 'is missing' : `has ${data.byteLength} bytes, not ${tensor.bytes}`
      throw new IncipitError('cut_refused', `${gguf.path}: ${exitWeights}${rest} ${given}`)
    }
    return [{ ...copyOf(gguf, tensor), name: renumber(tensor.name, at), data }]
  })
}

/** A copy of layer `source`, numbered `target`, that hands its input on unchanged. */
function identity(gguf: Gguf, source: number, target: number): TensorToWrite[] {
  return gguf.tensors.flatMap((tensor) => {
    const rest = layerTensor(tensor.name, source)
    if (rest === undefined) return []
    const name = renumber(tensor.name, target)
    if (rest === layerScale) return [ones(name, tensor.shape)]
    const copy = { ...copyOf(gguf, tensor), name }
    return [layerOutputs.test(rest) ? { ...copy, data: zeros(tensor.bytes) } : copy]
  })
}

function headTensor(gguf: Gguf, head: ExitHead): TensorToWrite {
  const embedding = gguf.tensors.find(({ name }) => name === 'token_embd.weight')
  const fits = embedding?.shape.length === head.shape.length && embedding.shape.every((n, i) => n === head.shape[i])
  const bytes = tensorBytes(head.type, head.shape)
  if (!fits || bytes !== head.data.byteLength) {
    const given = `type ${head.type}, shape [${head.shape.join(', ')}], ${head.data.byteLength} bytes`
    const wanted = `shape [${embedding?.shape.join(', ') ?? ''}]`
    throw new IncipitError('cut_refused', `${gguf.path}: the exit head (${given}) does not fit the model (${wanted})`)
  }
  return { name: 'output.weight', ...head }
}

function ones(name: string, shape: readonly number[]): TensorToWrite {
  const values = new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(1)
  return { name, shape, type: F32, data: new Uint8Array(values.buffer) }
}

const layerName = /^blk\.(\d+)\.(.+)$/

function layerOf(name: string): number | undefined {
  const number = layerName.exec(name)?.[1]
  return number === undefined ? undefined : Number(number)
}

/** The rest of the name of a tensor of `layer`, `undefined` for other tensors. */
function layerTensor(name: string, layer: number): string | undefined {
  const match = layerName.exec(name)
  return match !== null && Number(match[1]) === layer ? match[2] : undefined
}

function renumber(name: string, layer: number): string {
  return name.replace(layerName, `blk.${layer}.$2`)
}
