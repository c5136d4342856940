import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { defaultCacheDir } from '../src/gguf/index.ts'
import type { Server } from './drive.ts'
import type { Prioritisation, Settings } from './settings.ts'

// node-llama-cpp is the peer, not a dependency: it is installed into the cache directory when this benchmark first runs.
const version = '3.22.1'
const platform = `@node-llama-cpp/linux-${process.arch}`

// The part of its interface that is used here.
interface PeerSequence {
  readonly nextTokenIndex: number
  adaptStateToTokens(tokens: readonly number[], allowShift: boolean): Promise<void>
  evaluate(
    tokens: readonly number[],
    options: { temperature: number; yieldEogToken: boolean },
  ): AsyncIterableIterator<number>
}
interface PeerContext {
  getSequence(): PeerSequence
  dispose(): Promise<void>
}
interface PeerModel {
  isEogToken(token: number): boolean
  createContext(options: {
    sequences: number
    contextSize: number
    batchSize: number
    threads: number
    flashAttention: 'auto'
    batching: { itemPrioritizationStrategy: Prioritisation }
    ignoreMemorySafetyChecks: boolean
  }): Promise<PeerContext>
  dispose(): Promise<void>
}
interface PeerLibrary {
  getLlama(options: {
    gpu: false
    build: 'never'
    skipDownload: boolean
    maxThreads: number
    logLevel: 'error'
  }): Promise<{ loadModel(options: { modelPath: string }): Promise<PeerModel>; dispose(): Promise<void> }>
}

/** Where the peers are installed. */
export function peerDirectory(): string {
  return join(defaultCacheDir(), 'bench', `node-llama-cpp-${version}`)
}

function entry(): string {
  return join(peerDirectory(), 'node_modules', 'node-llama-cpp', 'dist', 'index.js')
}

/** Installs the peer unless it is there. Its binaries for other hardware are left out. */
export function installPeer(): void {
  if (existsSync(entry())) return
  console.error(`installing node-llama-cpp ${version}, the peer of this benchmark, into ${peerDirectory()}`)
  const options = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--no-save']
  const packages = [`node-llama-cpp@${version}`, `${platform}@${version}`]
  const { status } = spawnSync('npm', ['install', '--prefix', peerDirectory(), ...options, ...packages], {
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0 || !existsSync(entry())) throw new Error(`node-llama-cpp ${version} could not be installed`)
}

/**
 * node-llama-cpp under load, as its guide on batching has it: one context with a sequence per stream, whose `evaluate`
 * calls it batches by itself. A request waits for a free sequence in order of arrival; tokens that its prompt shares with
 * what the sequence held last are kept.
 */
export async function peerServer(settings: Settings): Promise<Server> {
  const { model: modelPath, streams, contextLength, threads, prioritisation } = settings
  const { getLlama } = (await import(pathToFileURL(entry()).href)) as PeerLibrary
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: 'error',
  })
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext({
    sequences: streams,
    contextSize: contextLength,
    batchSize: 512,
    threads,
    flashAttention: 'auto',
    batching: { itemPrioritizationStrategy: prioritisation ?? 'maximumParallelism' },
    ignoreMemorySafetyChecks: true,
  })
  const sequences = Array.from({ length: streams }, () => context.getSequence())
  const free = new Set(sequences)
  const waiting: ((sequence: PeerSequence) => void)[] = []
  const leave = (sequence: PeerSequence) => {
    const next = waiting.shift()
    if (next === undefined) free.add(sequence)
    else next(sequence)
  }
  // The first free one: llama.cpp computes a batch in fewer passes when the ids in it are consecutive.
  const enter = () => {
    const first = sequences.find((sequence) => free.delete(sequence))
    return first ?? new Promise<PeerSequence>((resolve) => waiting.push(resolve))
  }
  return {
    async serve({ prompt, maxTokens }, onTokens) {
      const sequence = await enter()
      await sequence.adaptStateToTokens(prompt, false)
      let tokens = 0
      const rest = prompt.slice(sequence.nextTokenIndex)
      for await (const token of sequence.evaluate(rest, { temperature: 0, yieldEogToken: true })) {
        tokens++
        // The end of the text is no text.
        if (model.isEogToken(token)) break
        onTokens(1)
        if (tokens >= maxTokens) break
      }
      leave(sequence)
      return tokens
    },
    async [Symbol.asyncDispose]() {
      await context.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}
