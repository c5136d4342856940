import type { EngineOptions, Log } from '@incipit/engine'
import { InvalidArgumentError } from 'commander'

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

/** For an option that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

/** What `--cut`, `--context`, `--parallel` and `--threads` say. */
export interface EngineFlags {
  cut?: 'auto' | 'none' | number[]
  context?: number
  parallel?: number
  threads?: number
}

export function engineOptions({ cut, context, parallel, threads }: EngineFlags): EngineOptions {
  const log: Log = (level, message) => {
    // What fails inside llama.cpp comes back as an error of ours; its own lines (also on a wanted abort) are details.
    if (debugging() || (level === 'error' && !message.startsWith('llama.cpp')))
      process.stderr.write(`incipit: ${level}: ${message.trimEnd()}\n`)
  }
  return { ...defined({ cut, contextLength: context, parallel, threads }), log }
}

/** INCIPIT_DEBUG=1 shows stacks and the engine's log. */
function debugging(): boolean {
  return process.env.INCIPIT_DEBUG === '1'
}

/** The object without its undefined members: an absent option is not an option that is undefined. */
export function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
