/** How node-llama-cpp fills a batch when more is waiting than fits. */
export type Prioritisation = 'maximumParallelism' | 'firstInFirstOut'

/** What an engine is loaded with: the same for all that are compared. */
export interface Settings {
  engine: 'incipit' | 'node-llama-cpp'
  model: string
  /** Most requests at once. */
  streams: number
  /** Most tokens of a sequence. */
  contextLength: number
  threads: number
  /** node-llama-cpp. */
  prioritisation?: Prioritisation
}
