/** How node-llama-cpp fills a batch when more is waiting than fits. */
export type Prioritisation = 'maximumParallelism' | 'firstInFirstOut'

/** What an engine is loaded with: the same for all that are compared. */
export interface Settings {
  engine: 'incipit' | 'node-llama-cpp' | 'incipit serve' | 'llama-server'
  model: string
  /** Most requests at once. */
  streams: number
  /** Most tokens of a sequence. */
  contextLength: number
  threads: number
  /** Of `incipit serve`: nothing is guessed. */
  plain?: boolean
  /** Of llama-server: its path. */
  program?: string
  /** Of node-llama-cpp. */
  prioritisation?: Prioritisation
}
