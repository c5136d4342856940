// Large models come in parts, `model-00001-of-00003.gguf` and so on: the first one names the model.
const pattern = /^(.*-)(\d{5})(-of-(\d{5})\.gguf)$/i

/** Which part of how many a file is; undefined for a model in one file. */
export function partOf(file: string): { index: number; of: number } | undefined {
  const match = pattern.exec(file)
  return match ? { index: Number(match[2]), of: Number(match[4]) } : undefined
}

/** All files of a model, of which `file` is one; the first part comes first. */
export function partsOf(file: string): string[] {
  const match = pattern.exec(file)
  if (!match) return [file]
  return Array.from({ length: Number(match[4]) }, (_, i) => `${match[1]}${String(i + 1).padStart(5, '0')}${match[3]}`)
}
