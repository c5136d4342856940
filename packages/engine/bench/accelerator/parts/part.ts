import { dirname, join } from 'node:path'
import type { Model } from '../../../src/llama/model.ts'
import { corpusText } from '../../load.ts'
import type { Part, Scale } from '../plan.ts'

/** What a part is started with. */
export interface Task {
  readonly part: Part
  readonly scale: Scale
  /** Path of the model. */
  readonly model: string
  readonly threads: number
}

/** Where what is derived of models goes: beside them. */
export function cacheDirOf({ model }: Task): string {
  return join(dirname(model), 'cache')
}

/** Tokens to cut prompts from, longer than the longest of them. */
export function corpusOf({ vocab }: Model, longest: number): number[] {
  const once = vocab.tokenize(corpusText())
  const times = Math.ceil((2 * longest) / once.length)
  return Array.from({ length: times }, () => once).flat()
}

export function ms(number: number): number {
  return Number(number.toPrecision(3))
}
