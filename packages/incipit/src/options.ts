import { InvalidArgumentError } from 'commander'
import { memorySize } from './serve/models/memory-size.ts'

/** A parser of whole numbers for commander. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): (value: string) => number {
  return (value) => {
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN
    if (number >= least && number <= most) return number
    throw new InvalidArgumentError(`a whole number ${range(least, most)} is needed.`)
  }
}

/** A parser of decimal numbers for commander. */
export function decimal(least: number, most = Number.POSITIVE_INFINITY): (value: string) => number {
  return (value) => {
    const number = value.trim() === '' ? Number.NaN : Number(value)
    if (number >= least && number <= most && Number.isFinite(number)) return number
    throw new InvalidArgumentError(`a number ${range(least, most)} is needed.`)
  }
}

function range(least: number, most: number): string {
  if (most < Number.MAX_SAFE_INTEGER) return `from ${least} to ${most}`
  return least > Number.MIN_SAFE_INTEGER ? `of at least ${least}` : ''
}

/** `auto`, `none`, or layers such as `8` and `8,16`. */
export function cut(value: string): 'auto' | 'none' | number[] {
  if (value === 'auto' || value === 'none') return value
  const layers = value.split(',').map(Number)
  const ascending = layers.every((layer, i) => Number.isInteger(layer) && layer > (layers[i - 1] ?? 0))
  if (ascending && /^[\d,]+$/.test(value)) return layers
  throw new InvalidArgumentError('auto, none, or ascending layer numbers such as 8 or 8,16 are needed.')
}

/** A number of threads, or a list such as `1,1`: one number per stage. */
export function threads(value: string): number | number[] {
  const counts = value.split(',').map((count) => (/^\d+$/.test(count) ? Number(count) : 0))
  if (counts.every((count) => count >= 1)) return counts.length === 1 ? counts[0]! : counts
  throw new InvalidArgumentError('a whole number of at least 1, or one per stage such as 1,1, is needed.')
}

/** `NAME=FILE`; the file's name may have further `=`. */
export function namedFile(value: string, previous: NamedFile[] | undefined): NamedFile[] {
  const [, name = '', file = ''] = /^([^=]+)=(.+)$/s.exec(value) ?? []
  if (name === '') throw new InvalidArgumentError('NAME=FILE is needed.')
  if (previous?.some((other) => other.name === name)) {
    throw new InvalidArgumentError(`the name ${name} is given twice.`)
  }
  return [...(previous ?? []), { name, file }]
}

export interface NamedFile {
  name: string
  file: string
}

/** For an option that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

/** A parser of sizes such as `12GiB` for commander. */
export function memory(value: string): number {
  const bytes = memorySize(value)
  if (bytes !== undefined) return bytes
  throw new InvalidArgumentError('a size such as 12GiB or 512MB is needed.')
}

/** The object without its undefined members: an absent option is not an option that is undefined. */
export function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
