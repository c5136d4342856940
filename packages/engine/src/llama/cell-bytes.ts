import { type Metadata, metadataNumber } from '../gguf/index.ts'

/**
 * Bytes of the recurrent states of a sequence, if all layers had one: F32, of inner size x state size, and of the convolution
 * before it (llama-hparams.cpp, `n_embd_s` and `n_embd_r`).
 */
export function stateBytes(metadata: Metadata, architecture: string): number {
  const number = (key: string) => metadataNumber(metadata, `${architecture}.${key}`) ?? 0
  const [inner, state] = [number('ssm.inner_size'), number('ssm.state_size')]
  const convolution = Math.max(0, number('ssm.conv_kernel') - 1) * (inner + 2 * number('ssm.group_count') * state)
  return 4 * number('block_count') * (inner * state + convolution)
}

/** KV bytes of one cell at F16: 2 bytes x (key + value width) x KV heads, summed over the layers. */
export function cellBytes(metadata: Metadata, architecture: string): number {
  const number = (key: string): number | undefined => {
    const value = metadata.get(`${architecture}.${key}`)?.value
    return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined
  }
  const layers = number('block_count') ?? 0
  const heads = number('attention.head_count') ?? 1
  const headWidth = (number('embedding_length') ?? 0) / heads
  const width = (number('attention.key_length') ?? headWidth) + (number('attention.value_length') ?? headWidth)
  const perLayer = metadata.get(`${architecture}.attention.head_count_kv`)
  let kvHeads = layers * (number('attention.head_count_kv') ?? heads)
  if (perLayer?.type === 'array' && perLayer.of !== 'string') {
    kvHeads = 0
    for (const heads of perLayer.value) kvHeads += Number(heads)
  }
  return 2 * width * kvHeads
}
