import { totalmem } from 'node:os'

const units = { MB: 1e6, GB: 1e9, MiB: 2 ** 20, GiB: 2 ** 30 } as const

/** Of the machine's memory what models may take together, unless something else is said: the rest is for what runs beside. */
const usualShare = 0.8

/** Bytes of a size such as `12GiB` or `512MB`; undefined for anything else. */
export function memorySize(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(MB|GB|MiB|GiB)$/.exec(text.trim()) ?? []
  return unit === undefined ? undefined : Number(number) * units[unit as keyof typeof units]
}

/** What models may take together where nobody says it, in bytes. */
export function usualMemory(): number {
  const limit = process.constrainedMemory()
  return usualShare * Math.min(totalmem(), limit > 0 ? limit : Number.POSITIVE_INFINITY)
}
