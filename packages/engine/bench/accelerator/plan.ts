import type { acceleratorShapes } from '../shapes/accelerator.ts'

export type AcceleratorShape = keyof typeof acceleratorShapes

/** How much is measured. */
export interface Scale {
  /** Tokens of prompts. */
  readonly lengths: readonly number[]
  /** Prompts of each length, after one that warms up. */
  readonly runs: number
  /** Of loads with many streams: rounds after one that warms up, requests of a round, most tokens of one. */
  readonly rounds: number
  readonly requestsPerStream: number
  readonly contextLength: number
  /** The engine whose profile is measured. */
  readonly profile: { readonly parallel: number; readonly cells: number; readonly contextLength: number }
}

/** One thing that is measured, in a process of its own. */
export interface Part {
  readonly name: string
  /** A module of `parts/`. */
  readonly measures:
    | 'costs'
    | 'first-token'
    | 'exit'
    | 'streams'
    | 'poisson'
    | 'copies'
    | 'typed'
    | 'experts'
    | 'variants'
    | 'batches'
  readonly shape: AcceleratorShape
  /** What it should take. It is stopped at three times as much, and is not begun where less is left. */
  readonly seconds: number
  readonly streams?: number
}

export interface Plan {
  readonly scale: Scale
  /** The most important one first. */
  readonly parts: readonly Part[]
}

const part = (measures: Part['measures'], shape: AcceleratorShape, seconds: number, streams?: number): Part => ({
  name: [measures, ...(streams === undefined ? [] : [streams]), shape].join(' '),
  measures,
  shape,
  seconds,
  ...(streams !== undefined && { streams }),
})

const [q8, q4, mixture, smollm] = [
  'llama-3.1-8b-q8_0',
  'llama-3.1-8b-q4_k_m',
  'qwen3-30b-a3b-q4_k_m',
  'smollm2-135m-q8_0',
] as const

export const plans: Readonly<Record<'full' | 'small', Plan>> = {
  full: {
    scale: {
      lengths: [64, 512, 4096, 16_384],
      runs: 5,
      rounds: 2,
      requestsPerStream: 4,
      contextLength: 2048,
      profile: { parallel: 64, cells: 262_144, contextLength: 16_384 },
    },
    parts: [
      part('costs', q8, 25),
      part('first-token', q8, 35),
      part('streams', q8, 35, 8),
      part('streams', q8, 30, 1),
      part('streams', q8, 40, 32),
      part('copies', q8, 15),
      part('experts', mixture, 35),
      part('costs', mixture, 30),
      part('typed', q8, 30),
      part('poisson', q8, 40, 32),
      part('exit', q4, 50),
      part('streams', q8, 50, 64),
      part('first-token', mixture, 40),
      part('costs', smollm, 10),
      part('first-token', smollm, 15),
      part('streams', smollm, 20, 8),
      part('costs', q4, 20),
      part('first-token', q4, 30),
      part('variants', q8, 45, 32),
      part('batches', q8, 30),
    ],
  },
  small: {
    scale: {
      lengths: [64, 512, 1500],
      runs: 2,
      rounds: 1,
      requestsPerStream: 1,
      contextLength: 2048,
      profile: { parallel: 4, cells: 8192, contextLength: 2560 },
    },
    parts: [
      part('costs', 'small-llama-q8_0', 8),
      part('first-token', 'small-llama-q8_0', 8),
      part('streams', 'small-llama-q8_0', 8, 4),
      part('experts', 'small-mixture-q4_k_m', 8),
      part('costs', 'small-mixture-q4_k_m', 8),
      part('copies', 'small-llama-q8_0', 4),
      part('exit', 'small-llama-q4_k_m', 10),
      part('costs', 'small-llama-q4_k_m', 8),
      part('poisson', 'small-llama-q8_0', 30, 4),
      part('typed', 'small-llama-q8_0', 8),
      part('first-token', 'small-smollm-q8_0', 8),
      part('variants', 'small-llama-q8_0', 10, 4),
      part('batches', 'small-llama-q8_0', 6),
    ],
  },
}
