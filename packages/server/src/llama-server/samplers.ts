import { z } from 'zod'
import type { SharedParameters } from '../parameters.ts'
import { inOrder, runningSamplers, type Sampler } from '../samplers.ts'
import { unsupported } from '../validate.ts'

/** Names of samplers, of which those that are not named are off. */
export const samplersField = z.array(z.string()).refine(inOrder, {
  error: `run in the order ${runningSamplers(undefined).join(', ')} here`,
  ...unsupported,
})

const off: { readonly [S in Sampler]: Partial<SharedParameters> } = {
  penalties: { repeat_penalty: null, presence_penalty: null, frequency_penalty: null },
  top_k: { top_k: 0 },
  top_p: { top_p: 1 },
  min_p: { min_p: 0 },
  temperature: { temperature: 1 },
}

/** Parameters that switch off those samplers that do not run. */
export function switchedOff(running: readonly Sampler[]): Partial<SharedParameters> {
  const others = runningSamplers(undefined).filter((name) => !running.includes(name))
  return Object.assign({}, ...others.map((name) => off[name]))
}
