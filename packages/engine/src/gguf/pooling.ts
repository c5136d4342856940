import { architectureOf } from './cut.ts'
import { metadataNumber } from './metadata.ts'
import type { Gguf } from './read.ts'

// llama.h: `enum llama_pooling_type`, from 1 on.
const poolings = ['mean', 'cls', 'last', 'rank'] as const

/** How a model's file says that the states of a text's tokens become one; undefined where it does not. */
export function poolingOf(gguf: Gguf): (typeof poolings)[number] | undefined {
  return poolings[(metadataNumber(gguf.metadata, `${architectureOf(gguf)}.pooling_type`) ?? 0) - 1]
}

/** Whether a model was made to say what a text is about, by a vector, and not to go on with it. */
export function isForEmbeddings(gguf: Gguf): boolean {
  const causal = gguf.metadata.get(`${architectureOf(gguf)}.attention.causal`)?.value
  return causal === false || poolingOf(gguf) !== undefined
}
