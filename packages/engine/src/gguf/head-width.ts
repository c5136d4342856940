import { architectureOf } from './cut.ts'
import { metadataNumber } from './metadata.ts'
import type { Gguf } from './read.ts'

/** Width of the keys of an attention head; undefined where the header does not say. */
export function headWidth(gguf: Gguf): number | undefined {
  const number = (key: string) => metadataNumber(gguf.metadata, `${architectureOf(gguf)}.${key}`)
  const [width, heads] = [number('embedding_length'), number('attention.head_count')]
  return number('attention.key_length') ?? (width !== undefined && heads ? width / heads : undefined)
}
