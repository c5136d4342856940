import { randomNumbers, tensorData } from '../gguf/fixtures.ts'
import {
  copyOf,
  F32,
  type Gguf,
  type GgufTensor,
  type GgufValue,
  type TensorToWrite,
  writeGguf,
} from '../gguf/index.ts'

export interface MtpFixture {
  architecture: 'glm4moe' | 'hy_v3'
  /** What the prediction layer looks at: the token, the state before it, or both. */
  sees: 'token' | 'state' | 'both'
  /** The layers below hand on the token's embedding as it is, so that the next token depends on the last one only. */
  idle?: boolean
  /** How often the layers below are repeated. Default 1. */
  repeat?: number
}

const [width, heads, kvHeads, headWidth, wide] = [64, 8, 4, 8, 32] as const

/**
 * Writes a model with a prediction layer, made of stories260K: the layers below are its own, and speak as it does where
 * the architecture allows. The prediction layer adds nothing to what it sees, unless that is both: then its attention is
 * that of the last layer, over a random mixture of the two.
 */
export async function withPredictionLayer(stories: Gguf, path: string, fixture: MtpFixture): Promise<void> {
  const { architecture, sees, idle = false, repeat = 1 } = fixture
  const below = 5 * repeat
  const glm = architecture === 'glm4moe'
  const metadata = new Map<string, GgufValue>()
  for (const [key, value] of stories.metadata) metadata.set(key.replace(/^llama\./, `${architecture}.`), value)
  metadata.set('general.architecture', { type: 'string', value: architecture })
  const counts = {
    block_count: below + 1,
    nextn_predict_layers: 1,
    leading_dense_block_count: below,
    expert_count: 2,
    expert_used_count: 1,
    expert_shared_count: 1,
    expert_feed_forward_length: wide,
  }
  for (const [key, value] of Object.entries(counts)) metadata.set(`${architecture}.${key}`, { type: 'u32', value })

  const tensors: TensorToWrite[] = []
  const put = (name: string, shape: readonly number[], values?: Float32Array) => {
    const data = values ?? new Float32Array(shape.reduce((product, n) => product * n, 1))
    tensors.push({ name, shape, type: F32, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) })
  }
  const ones = (name: string, size: number) => put(name, [size], new Float32Array(size).fill(1))

  for (const tensor of stories.tensors) {
    const match = /^blk\.(\d)\.(.+)\.weight$/.exec(tensor.name)
    if (match === null) tensors.push(copyOf(stories, tensor))
    else for (let layer = Number(match[1]); layer < below; layer += 5) await layerTensor(tensor, layer, match[2]!)
  }

  const block = `blk.${below}`
  ones(`${block}.attn_norm.weight`, width)
  ones(`${block}.${glm ? 'post_attention_norm' : 'ffn_norm'}.weight`, width)
  const active = sees === 'both'
  put(
    `${block}.attn_q.weight`,
    [width, heads * headWidth],
    active ? await halves(stories, 'blk.4.attn_q.weight') : undefined,
  )
  put(
    `${block}.attn_k.weight`,
    [width, kvHeads * headWidth],
    active ? await halves(stories, 'blk.4.attn_k.weight') : undefined,
  )
  put(
    `${block}.attn_v.weight`,
    [width, kvHeads * headWidth],
    active ? await floats(stories, 'blk.4.attn_v.weight') : undefined,
  )
  put(
    `${block}.attn_output.weight`,
    [width, width],
    active ? await floats(stories, 'blk.4.attn_output.weight') : undefined,
  )
  if (glm) {
    put(`${block}.ffn_gate_inp.weight`, [width, 2])
    put(`${block}.exp_probs_b.bias`, [2])
    for (const side of ['gate', 'up']) put(`${block}.ffn_${side}_exps.weight`, [width, wide, 2])
    put(`${block}.ffn_down_exps.weight`, [wide, width, 2])
    for (const side of ['gate', 'up']) put(`${block}.ffn_${side}_shexp.weight`, [width, wide])
    put(`${block}.ffn_down_shexp.weight`, [wide, width])
  } else {
    headNorms(block)
    for (const side of ['gate', 'up']) put(`${block}.ffn_${side}.weight`, [width, 172])
    put(`${block}.ffn_down.weight`, [172, width])
  }
  ones(`${block}.nextn.enorm.weight`, width)
  ones(`${block}.nextn.hnorm.weight`, width)
  // The state has been through the final norm already; the embedding has not.
  if (sees === 'state') ones(`${block}.nextn.shared_head_norm.weight`, width)
  const projection = new Float32Array(2 * width * width)
  for (let i = 0; i < width; i++) {
    if (sees !== 'state') projection[i * 2 * width + i] = 1
    if (sees !== 'token') projection[i * 2 * width + width + i] = 1
  }
  const random = randomNumbers(2)
  if (active) for (let i = 0; i < projection.length; i++) projection[i] = projection[i]! + 0.4 * random()
  put(`${block}.nextn.eh_proj.weight`, [2 * width, width], projection)
  await writeGguf(path, metadata, tensors)

  async function layerTensor(tensor: GgufTensor, layer: number, part: string): Promise<void> {
    const name = `blk.${layer}.${glm && part === 'ffn_norm' ? 'post_attention_norm' : part}.weight`
    if (part === 'attn_q' || part === 'attn_k') put(name, tensor.shape, await halves(stories, tensor.name))
    else if (idle && (part === 'attn_output' || part === 'ffn_down')) put(name, tensor.shape)
    else tensors.push({ ...copyOf(stories, tensor), name })
    if (part === 'attn_norm' && !glm) headNorms(`blk.${layer}`)
  }

  function headNorms(block: string): void {
    for (const side of ['q', 'k']) ones(`${block}.attn_${side}_norm.weight`, headWidth)
  }
}

async function floats(gguf: Gguf, name: string): Promise<Float32Array> {
  const bytes = await tensorData(gguf, gguf.tensors.find((tensor) => tensor.name === name)!)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}

/** Rows of a query or key matrix for rotary positions that pair dimension i with i + half, not 2i with 2i + 1. */
async function halves(gguf: Gguf, name: string): Promise<Float32Array> {
  const source = await floats(gguf, name)
  const target = new Float32Array(source.length)
  for (let row = 0; row < source.length / width; row++) {
    const [head, at] = [Math.floor(row / headWidth), row % headWidth]
    const from = head * headWidth + (at < headWidth / 2 ? 2 * at : 2 * (at - headWidth / 2) + 1)
    target.set(source.subarray(from * width, (from + 1) * width), row * width)
  }
  return target
}
