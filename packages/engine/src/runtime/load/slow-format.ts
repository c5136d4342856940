import { type Gguf, tensorTypes } from '../../gguf/index.ts'

/** Types that a CPU computes many rows of a prompt at once with: packed weights, or matrix kernels of their own. */
const quick = new Set(['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_K', 'iq4_nl', 'mxfp4'])

/** The type that most of a model's weights have, if a CPU reads prompts more slowly with it than with others. */
export function slowFormat({ tensors }: Pick<Gguf, 'tensors'>): string | undefined {
  const bytes = new Map<string, number>()
  for (const tensor of tensors) {
    const name = tensorTypes.get(tensor.type)?.name
    if (name !== undefined) bytes.set(name, (bytes.get(name) ?? 0) + tensor.bytes)
  }
  const [most] = [...bytes].sort(([, a], [, b]) => b - a)
  return most === undefined || quick.has(most[0]) ? undefined : most[0]
}
