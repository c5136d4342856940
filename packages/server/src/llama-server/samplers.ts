import type { SharedParameters } from '../parameters.ts'

/** Those that we have, by llama-server's names, in the order in which they run. */
const names = ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'] as const
type Sampler = (typeof names)[number]

const off: { readonly [S in Sampler]: Partial<SharedParameters> } = {
  penalties: { repeat_penalty: null, presence_penalty: null, frequency_penalty: null },
  top_k: { top_k: 0 },
  top_p: { top_p: 1 },
  min_p: { min_p: 0 },
  temperature: { temperature: 1 },
}

/** Which of ours run where a request names some. It may name others, which are off or which we do not have. */
export function runningSamplers(named: readonly string[] | null | undefined): readonly Sampler[] {
  return named ? names.filter((name) => named.includes(name)) : names
}

/** Parameters that switch off those that do not run. */
export function switchedOff(running: readonly Sampler[]): Partial<SharedParameters> {
  return Object.assign({}, ...names.filter((name) => !running.includes(name)).map((name) => off[name]))
}
