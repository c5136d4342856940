import { partOf } from './split.ts'

/**
 * The file that is quantized so: `Q4_K_M` names `model-Q4_K_M.gguf`, also `model.q4_k_m.gguf`, and the first part of one that
 * is split. Of several the one with the shortest name, which is in fewest parts. Image projectors are no models.
 */
export function quantizedAs(files: readonly string[], quantization: string): string | undefined {
  const wanted = new RegExp(`(^|[-._/])${quantization}([-.][^/]*)?\\.gguf$`, 'i')
  return files
    .filter((file) => wanted.test(file) && !/mmproj/i.test(file) && (partOf(file)?.index ?? 1) === 1)
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[0]
}
