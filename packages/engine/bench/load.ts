import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProposerName } from '../src/index.ts'
import { random, shuffle } from './numbers.ts'

/** One request of a load. Both engines get the same token ids. */
export interface LoadRequest {
  prompt: readonly number[]
  /** Tokens at its beginning that all requests of the load share. */
  shared: number
  /** Most tokens of the reply; it also ends at the end of text. */
  maxTokens: number
  /** For incipit only: sampled at this temperature (default: greedily), and who may speculate (default: its own choice). */
  temperature?: number
  proposers?: readonly ProposerName[]
  /** Of servers: the reply goes on to its last token, whatever the model says. */
  endless?: boolean
  /** Milliseconds after the start at which it arrives; undefined in a closed loop. */
  at?: number
}

/** Prompts under this many tokens are reported apart. */
export const shortPrompt = 100

// Short, middling and long prompts by their lengths in tokens, `upTo` a share of all: a chat turn, a turn with context,
// a document.
const mix = [
  { upTo: 0.5, from: 16, to: 96 },
  { upTo: 0.8, from: 128, to: 400 },
  { upTo: 1, from: 600, to: 1200 },
]
const reply = { from: 16, to: 64 }

/** Text in natural language and code: the prompts of `prompts/`, one after another. */
export function corpusText(): string {
  const directory = join(import.meta.dirname, '../prompts')
  const texts = ['passages.jsonl', 'short.jsonl', 'code.jsonl'].flatMap((file) =>
    readFileSync(join(directory, file), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { text?: string; prompt?: string })
      .map(({ text, prompt }) => text ?? prompt ?? ''),
  )
  return texts.join('\n\n')
}

/**
 * Requests with mixed lengths. No two begin alike: each prompt is a window of the corpus that starts elsewhere.
 * @param prefix tokens that all prompts begin with
 */
export function mixedRequests(
  corpus: readonly number[],
  count: number,
  seed: number,
  prefix: readonly number[] = [],
): LoadRequest[] {
  const next = random(seed)
  const between = ({ from, to }: { from: number; to: number }) => from + Math.floor(next() * (to - from + 1))
  // Every run has the same share of each kind, so that runs differ in order and text only.
  const kinds = Array.from({ length: count }, (_, i) => mix.find(({ upTo }) => (i + 0.5) / count < upTo)!)
  shuffle(kinds, next)
  return kinds.map((kind) => {
    const length = between(kind)
    const start = Math.floor(next() * (corpus.length - length))
    const prompt = [...prefix, ...corpus.slice(start, start + length)]
    return { prompt, shared: prefix.length, maxTokens: between(reply) }
  })
}

// Long enough that the first token does not matter.
const longReply = 96

/** Requests whose replies say nothing twice: sampled at temperature 1 (a small model's greedy replies run in circles). */
export function freshRequests(corpus: readonly number[], count: number, seed: number): LoadRequest[] {
  return windows(corpus, count, seed, 200).map((prompt) => ({
    prompt,
    shared: 0,
    maxTokens: longReply,
    temperature: 1,
  }))
}

/** Requests whose replies say again what stands in the prompt: a text, and the same text once more from its beginning. */
export function repeatingRequests(corpus: readonly number[], count: number, seed: number): LoadRequest[] {
  return windows(corpus, count, seed, 160).map((text) => ({
    prompt: [...text, ...text, ...text.slice(0, 40)],
    shared: 0,
    maxTokens: longReply,
  }))
}

function windows(corpus: readonly number[], count: number, seed: number, length: number): number[][] {
  const next = random(seed)
  return Array.from({ length: count }, () => {
    const start = Math.floor(next() * (corpus.length - length))
    return corpus.slice(start, start + length)
  })
}

/** Gives each request its time of arrival: a Poisson process with this many requests per second. */
export function arriving(requests: readonly LoadRequest[], perSecond: number, seed: number): LoadRequest[] {
  const next = random(seed)
  let at = 0
  return requests.map((request) => {
    at += (-Math.log(1 - next()) * 1000) / perSecond
    return { ...request, at }
  })
}
