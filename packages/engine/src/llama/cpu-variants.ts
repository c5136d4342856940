import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'

/** ggml's CPU back end built for one instruction set: `libggml-cpu-haswell.so` and the like. */
export const variantFile = /^(?:lib)?ggml-cpu-(.+)\.(?:so|dylib|dll)$/

export interface CpuVariant {
  readonly name: string
  /** Of its library. */
  readonly path: string
  /** Its own word on whether it can run here: 0 says no. ggml loads the one with the highest score. */
  readonly score: number
}

/** The CPU variants in a folder of llama.cpp's libraries, those of the fewest instructions first. */
export function cpuVariants(directory: string): CpuVariant[] {
  const variants: CpuVariant[] = []
  for (const file of readdirSync(directory)) {
    const name = variantFile.exec(file)?.[1]
    if (name === undefined) continue
    const path = join(directory, file)
    const score = koffi.load(path).func('int ggml_backend_score()') as () => number
    variants.push({ name, path, score: score() })
  }
  return variants.sort((a, b) => a.score - b.score)
}
