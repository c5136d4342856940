import { setImmediate } from 'node:timers/promises'
import { choose } from '../src/core/sampling/sample.ts'
import { Batch } from '../src/llama/batch.ts'
import { Context } from '../src/llama/context.ts'
import { Model } from '../src/llama/model.ts'
import { Threadpool } from '../src/llama/threadpool.ts'
import type { Server } from './drive.ts'
import type { Settings } from './settings.ts'

/** A request that has a sequence. */
interface Flow {
  readonly prompt: readonly number[]
  readonly maxTokens: number
  readonly onTokens: (count: number) => void
  readonly end: (tokens: number) => void
  readonly fail: (error: unknown) => void
  /** Rows in the cache, and tokens of the reply, the last of which has no row yet. */
  rows: number
  reply: number
  last: number
}

// As llama-server has it (`n_batch`): rows of a step, of which the library computes 512 at once.
const batchRows = 2048
const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }

/**
 * Plain llama.cpp under load, through the same library: one context with a sequence for each stream, and the rule of its own
 * server. A step has the next token of every reply, then prompts in the order of their arrival, as many rows as fit.
 */
export async function plainServer({ model: path, streams, contextLength, threads }: Settings): Promise<Server> {
  const cells = 256 * Math.ceil(contextLength / 256)
  const model = await Model.load(path, { cells: cells * streams })
  const threadpool = new Threadpool(threads)
  const context = new Context(model, {
    cells: cells * streams,
    sequences: streams,
    unified: streams === 1,
    batch: batchRows,
    outputs: Math.max(64, streams),
    threadpool,
  })
  const batch = new Batch(batchRows)
  const logits = new Float32Array(model.vocab.size)
  const free = Array.from({ length: streams }, (_, sequence) => sequence)
  const waiting: Flow[] = []
  /** By sequence, in order of arrival. */
  const running = new Map<number, Flow>()
  let taken = { steps: 0, decodeMs: 0, outsideMs: 0 }
  let works = false

  /** One step: who has output in which row. */
  async function step(): Promise<void> {
    const outputs: [row: number, sequence: number, flow: Flow][] = []
    batch.clear()
    const add = (sequence: number, flow: Flow, token: number, output: boolean) => {
      if (output) outputs.push([batch.rows, sequence, flow])
      batch.add(token, flow.rows++, [sequence], output)
    }
    for (const [sequence, flow] of running) if (flow.reply > 0) add(sequence, flow, flow.last, true)
    for (const [sequence, flow] of running) {
      const { prompt } = flow
      while (flow.reply === 0 && flow.rows < prompt.length && batch.rows < batchRows) {
        add(sequence, flow, prompt[flow.rows]!, flow.rows === prompt.length - 1)
      }
    }
    const begin = performance.now()
    const result = await context.decode(batch)
    taken.decodeMs += performance.now() - begin
    taken.steps++
    if (result !== 'done') throw new Error(`the plain decode ended as '${result}'`)
    for (const [row, sequence, flow] of outputs) {
      flow.last = choose(context.logits(row, logits), greedy, flow.rows)
      flow.reply++
      const ends = model.vocab.isEndOfGeneration(flow.last)
      if (!ends) flow.onTokens(1)
      if (!ends && flow.reply < flow.maxTokens) continue
      running.delete(sequence)
      context.sequenceRemove(sequence, 0)
      free.push(sequence)
      flow.end(flow.reply)
    }
  }

  async function work(): Promise<void> {
    if (works) return
    works = true
    try {
      while (running.size + waiting.length > 0) {
        const begin = performance.now()
        const before = taken.decodeMs
        free.sort((a, b) => b - a)
        while (free.length > 0 && waiting.length > 0) running.set(free.pop()!, waiting.shift()!)
        await step()
        // Readers read, and new requests arrive.
        await setImmediate()
        taken.outsideMs += performance.now() - begin - (taken.decodeMs - before)
      }
    } catch (error) {
      for (const flow of [...running.values(), ...waiting.splice(0)]) flow.fail(error)
      running.clear()
    } finally {
      works = false
    }
  }

  return {
    serve: ({ prompt, maxTokens }, onTokens) =>
      new Promise((end, fail) => {
        waiting.push({ prompt, maxTokens, onTokens, end, fail, rows: 0, reply: 0, last: 0 })
        void work()
      }),
    takeSteps() {
      const all = taken
      taken = { steps: 0, decodeMs: 0, outsideMs: 0 }
      return all
    },
    async [Symbol.asyncDispose]() {
      for (const part of [context, batch, threadpool, model]) part[Symbol.dispose]()
    },
  }
}
