/** How node-llama-cpp fills a batch when more is waiting than fits. */
export type Prioritisation = 'maximumParallelism' | 'firstInFirstOut'

/** What an engine is loaded with: the same for all that are compared. */
export interface Settings {
  engine: 'incipit' | 'plain llama.cpp' | 'node-llama-cpp' | 'incipit serve' | 'llama-server'
  model: string
  /** Most requests at once. */
  streams: number
  /** Most tokens of a sequence. */
  contextLength: number
  threads: number
  /** Of incipit: where it keeps what it derives. Default: its own place. */
  cacheDir?: string
  /** Of incipit: one KV cache for all sequences, or one for each. Default: its own choice. */
  cache?: 'unified' | 'separate'
  /** Of incipit: what is computed of a prompt is kept for others. Default true. */
  cachePrompt?: boolean
  /** Of `incipit serve`: nothing is guessed. */
  plain?: boolean
  /** Of llama-server: its path. */
  program?: string
  /** Of node-llama-cpp. */
  prioritisation?: Prioritisation
}
