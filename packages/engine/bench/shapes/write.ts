import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  F32,
  GgufStrings,
  type GgufValue,
  type Metadata,
  readGguf,
  type TensorToWrite,
  tensorBytes,
  writeGguf,
} from '../../src/gguf/index.ts'
import { acceleratorShapes } from './accelerator.ts'
import { memoryShapes } from './memories.ts'
import { Noise } from './noise.ts'
import { norm, type Shape, u32 } from './shape.ts'
import { types } from './types.ts'

// Models in the shapes of real ones, with random weights: what time and memory they take is real, what they say is words in
// no order. Tokenizer and chat template come from a real file; its vocabulary is padded to the size of the real one.

const control = 3
const unused = 5

const shapes = { ...memoryShapes, ...acceleratorShapes }

export type ShapeName = keyof typeof shapes

// What a model without a template of its own gets.
const plainTemplate =
  '{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}'

/** Bytes of the weights of a model of this shape. */
export function bytesOf(name: ShapeName): number {
  const { layers, embedding, vocabulary, untied, words = {}, layer }: Shape = shapes[name]
  const bytes = (type: number, shape: readonly number[]) => tensorBytes(type, shape) as number
  let sum = bytes(words.input ?? types.q8_0, [embedding, vocabulary]) + bytes(F32, [embedding])
  if (untied) sum += bytes(words.output ?? types.q8_0, [embedding, vocabulary])
  for (let index = 0; index < layers; index++) {
    for (const { shape, fill } of layer(index)) sum += bytes(typeof fill === 'number' ? F32 : fill.type, shape)
  }
  return sum
}

/**
 * Writes a model of this shape, unless it is there already.
 * @param vocabularyOf a real model, whose tokenizer and chat template it gets
 * @returns its path
 */
export async function writeShape(name: ShapeName, folder: string, vocabularyOf: string): Promise<string> {
  const path = join(folder, `${name}.gguf`)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  const shape: Shape = shapes[name]
  const { metadata: real } = await readGguf(vocabularyOf)
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: shape.architecture }],
    ['general.name', { type: 'string', value: `${name}, random weights` }],
    ...Object.entries({
      block_count: u32(shape.layers),
      context_length: u32(32_768),
      embedding_length: u32(shape.embedding),
      vocab_size: u32(shape.vocabulary),
      ...shape.keys,
    }).map(([key, value]) => [`${shape.architecture}.${key}`, value] as const),
    ...(shape.exit === undefined ? [] : exitKeys(shape.exit)),
    ['tokenizer.chat_template', { type: 'string', value: plainTemplate }],
    ...[...real].filter(([key]) => key.startsWith('tokenizer.')),
    ...paddedVocabulary(real, shape.vocabulary),
  ])
  const { embedding, vocabulary, untied, outputNorm = 'output_norm', words = {} } = shape
  const noise = new Noise()
  const rows = (name: string, type: number = types.q8_0) => ({
    ...noise.rows(type, [embedding, vocabulary], wordsOf(real)),
    name,
  })
  const tensors: TensorToWrite[] = [
    rows('token_embd.weight', words.input),
    ...(untied ? [rows('output.weight', words.output)] : []),
    noise.tensor(`${outputNorm}.weight`, norm(outputNorm, embedding)),
  ]
  for (let index = 0; index < shape.layers; index++) {
    for (const tensor of shape.layer(index)) tensors.push(noise.tensor(`blk.${index}.${tensor.name}`, tensor))
  }
  // What is there under its name is whole.
  const unfinished = `${path}.${process.pid}`
  await writeGguf(unfinished, metadata, tensors)
  await rename(unfinished, path)
  return path
}

/** An exit that speaks through the model's own head, and is always said to be sure. */
function exitKeys(layer: number): [string, GgufValue][] {
  const one: GgufValue = { type: 'f32', value: 1 }
  const names = ['agreement', 'shown'].flatMap((name) => [`${name}.first`, `${name}.later`])
  return [
    ['incipit.exit.layer', u32(layer)],
    ...names.map((name): [string, GgufValue] => [`incipit.exit.${name}`, one]),
  ]
}

function tokensOf(real: Metadata): GgufStrings {
  const value = real.get('tokenizer.ggml.tokens')?.value
  if (!(value instanceof GgufStrings)) throw new Error('a model without a vocabulary')
  return value
}

function paddedVocabulary(real: Metadata, size: number): [string, GgufValue][] {
  const tokens = [...tokensOf(real)]
  const types = real.get('tokenizer.ggml.token_type')?.value as Int32Array
  const all = new Int32Array(size).fill(unused)
  all.set(types)
  for (let token = tokens.length; token < size; token++) tokens.push(`[unused${token}]`)
  return [
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: GgufStrings.from(tokens) }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', value: all }],
  ]
}

/** Tokens that are a space and a word: what the model says of them becomes the same tokens again when it is read. */
function wordsOf(real: Metadata): number[] {
  const types = real.get('tokenizer.ggml.token_type')?.value as Int32Array
  return [...tokensOf(real)].flatMap((text, token) =>
    /^Ġ[a-z]+$/.test(text) && types[token] !== control ? [token] : [],
  )
}
