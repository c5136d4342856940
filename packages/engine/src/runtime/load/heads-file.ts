import { open } from 'node:fs/promises'
import { IncipitError } from '../../api/errors.ts'
import type { Calibration } from '../../core/sampling/calibration.ts'
import {
  F32,
  type Gguf,
  type GgufTensor,
  type GgufValue,
  metadataNumber,
  metadataString,
  readGguf,
  writeGguf,
} from '../../gguf/index.ts'
import { carriedCalibration } from './exit.ts'

/*
 * The file of a model's heads. A GGUF with the metadata
 *
 *   general.architecture          string  incipit-heads
 *   incipit.heads.model           string  SHA-256 of the model file, as hex
 *   incipit.heads.layer           u32     layers before the state that the heads read
 *   incipit.heads.vocabulary      u32     tokens of the model
 *   incipit.heads.count           u32     number of heads: head i guesses the token i + 2 after that of the state
 *   incipit.heads.tokens          i32[]   the tokens that can be guessed; left out when all can
 *   incipit.heads.<i>.calibration.confidence, .survival  f64[]  top probability to share that was right if those before
 *                                         it were: steps as in core/sampling/calibration.ts
 *
 * and the F32 tensors, shapes in ggml order (fastest first)
 *
 *   incipit.heads.<i>.down        [n_embd, rank]
 *   incipit.heads.<i>.up          [rank, tokens that can be guessed]
 *
 * logits = up (down x), where x is the state divided by its root mean square.
 */

/** The matrices of one head, row-major. */
export interface Head {
  readonly rank: number
  /** rank x n_embd */
  readonly down: Float32Array
  /** tokens x rank */
  readonly up: Float32Array
  readonly calibration: Calibration
}

/** What a set of heads belongs to. */
export interface HeadsOf {
  /** SHA-256 of the model file. */
  readonly hash: string
  /** Layers before the exit. */
  readonly layer: number
  readonly embedding: number
  readonly vocabulary: number
}

export interface HeadsFile {
  readonly heads: readonly Head[]
  /** The token of each row of `up`; undefined when row and token are the same. */
  readonly tokens?: Int32Array
}

const architecture = 'incipit-heads'
const key = (name: string) => `incipit.heads.${name}`

/** Writes a file of heads. It must not exist yet. */
export async function writeHeads(path: string, of: HeadsOf, { heads, tokens }: HeadsFile): Promise<void> {
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: architecture }],
    [key('model'), { type: 'string', value: of.hash }],
    [key('layer'), { type: 'u32', value: of.layer }],
    [key('vocabulary'), { type: 'u32', value: of.vocabulary }],
    [key('count'), { type: 'u32', value: heads.length }],
  ])
  if (tokens) metadata.set(key('tokens'), { type: 'array', of: 'i32', value: tokens })
  for (const [i, { calibration }] of heads.entries()) {
    const list = (values: readonly number[]): GgufValue => ({
      type: 'array',
      of: 'f64',
      value: Float64Array.from(values),
    })
    metadata.set(key(`${i}.calibration.confidence`), list(calibration.from))
    metadata.set(key(`${i}.calibration.survival`), list(calibration.survival))
  }
  const tensor = (name: string, columns: number, values: Float32Array) => ({
    name: key(name),
    shape: [columns, values.length / columns],
    type: F32,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  })
  await writeGguf(
    path,
    metadata,
    heads.flatMap(({ rank, down, up }, i) => [tensor(`${i}.down`, of.embedding, down), tensor(`${i}.up`, rank, up)]),
  )
}

/**
 * Reads a file of heads for a model.
 *
 * Errors: `model_not_found` and `model_invalid` when it is no readable GGUF; `tune_failed`, with what differs, when it
 * holds no heads, or those of another model, layer or shape.
 */
export async function readHeads(path: string, of: HeadsOf): Promise<HeadsFile> {
  const gguf = await readGguf(path)
  const refuse = (what: string) => new IncipitError('tune_failed', `${path}: ${what}`)
  const number = (name: string) => metadataNumber(gguf.metadata, key(name))
  if (metadataString(gguf.metadata, 'general.architecture') !== architecture) throw refuse('not a file of heads')
  if (metadataString(gguf.metadata, key('model')) !== of.hash) throw refuse('the heads belong to another model file')
  const layer = number('layer')
  if (layer !== of.layer) throw refuse(`the heads read the state after ${layer} layers, the exit is after ${of.layer}`)
  const vocabulary = number('vocabulary')
  if (vocabulary !== of.vocabulary) throw refuse(`the heads know ${vocabulary} tokens, the model has ${of.vocabulary}`)
  const count = number('count') ?? 0
  if (count < 1) throw refuse('it holds no heads')
  const tokens = readTokens(gguf)
  if (tokens?.some((token) => token < 0 || token >= of.vocabulary)) throw refuse('it names tokens that do not exist')

  const handle = await open(path)
  try {
    const read = async (name: string, columns: number | undefined, rows: number | undefined) => {
      const tensor = gguf.tensors.find((tensor) => tensor.name === key(name))
      if (tensor === undefined) throw refuse(`tensor '${key(name)}' is missing`)
      const [width = 0, height = 0, ...rest] = tensor.shape
      const fits = (columns ?? width) === width && (rows ?? height) === height && width > 0 && height > 0
      if (tensor.type !== F32 || rest.length > 0 || !fits) {
        const wanted = `F32 [${columns ?? 'rank'}, ${rows ?? 'rank'}]`
        throw refuse(`tensor '${key(name)}' is [${tensor.shape.join(', ')}] of type ${tensor.type}, not ${wanted}`)
      }
      return { height, values: await readFloats(handle, tensor) }
    }
    const heads: Head[] = []
    for (let i = 0; i < count; i++) {
      const down = await read(`${i}.down`, of.embedding, undefined)
      const up = await read(`${i}.up`, down.height, tokens?.length ?? of.vocabulary)
      const calibration = carriedCalibration(gguf.metadata, key(`${i}.calibration`))
      if (calibration.from.length === 0 || calibration.from.length !== calibration.survival.length) {
        throw refuse(`head ${i} is not calibrated`)
      }
      heads.push({ rank: down.height, down: down.values, up: up.values, calibration })
    }
    return { heads, ...(tokens && { tokens }) }
  } finally {
    await handle.close()
  }
}

function readTokens({ metadata }: Gguf): Int32Array | undefined {
  const value = metadata.get(key('tokens'))
  return value?.type === 'array' && value.of === 'i32' ? value.value : undefined
}

async function readFloats(handle: Awaited<ReturnType<typeof open>>, tensor: GgufTensor): Promise<Float32Array> {
  const values = new Float32Array(tensor.bytes / 4)
  const bytes = new Uint8Array(values.buffer)
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, tensor.offset + done)
    if (bytesRead === 0)
      throw new IncipitError('model_invalid', `tensor '${tensor.name}' was cut short while it was read`)
    done += bytesRead
  }
  return values
}
