import { computed, effect } from '@preact/signals'
import { stored } from './ui/stored.ts'

export const policies = ['committed', 'provisional', 'tolerant', 'confident'] as const
export const speculations = ['off', 'prefill', 'reply'] as const
export const themes = ['system', 'light', 'dark'] as const
export const toolChoices = ['auto', 'required'] as const

export interface Settings {
  apiKey: string
  /** Empty: the server's first one. */
  model: string
  system: string
  temperature: number
  topP: number
  topK: number
  minP: number
  /** Empty: another one for every reply. */
  seed: string
  maxTokens: number
  tier: string
  policy: (typeof policies)[number]
  alpha: number
  minStability: number
  speculate: (typeof speculations)[number]
  /** JSON schema of replies. Empty: none. */
  schema: string
  /** Functions that the model may call, as JSON. Empty: none. */
  tools: string
  toolChoice: (typeof toolChoices)[number]
  theme: (typeof themes)[number]
}

export const defaults: Settings = {
  apiKey: '',
  model: '',
  system: '',
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: '',
  maxTokens: 512,
  tier: 'chat',
  policy: 'provisional',
  alpha: 0.5,
  minStability: 0.9,
  speculate: 'reply',
  schema: '',
  tools: '',
  toolChoice: 'auto',
  theme: 'system',
}

export const settings = stored<Settings>('incipit.settings', defaults)

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part }
}

/** Settings as `session.update` of `/v1/realtime` spells them. */
export const session = computed(() => {
  const s = settings.value
  const seed = /^-?\d+$/.test(s.seed) ? Number(s.seed) : null
  return {
    instructions: s.system === '' ? null : s.system,
    temperature: s.temperature,
    top_p: s.topP,
    top_k: s.topK,
    min_p: s.minP,
    ...(seed === null ? {} : { seed }),
    max_output_tokens: s.maxTokens,
    tier: s.tier,
    provisional: s.policy === 'provisional' || s.policy === 'tolerant',
    policy: s.policy === 'provisional' ? 'committed' : s.policy,
    alpha: s.policy === 'tolerant' ? s.alpha : null,
    min_stability: s.minStability,
    speculate: s.speculate,
  }
})

// Of their own, so that who depends on one of them does not begin anew with every other setting.
export const apiKey = computed(() => settings.value.apiKey)
export const chosenModel = computed(() => settings.value.model)

/** Headers of requests over HTTP. */
export const headers = computed(
  (): Record<string, string> => (apiKey.value === '' ? {} : { authorization: `Bearer ${apiKey.value}` }),
)

effect(() => {
  const { theme } = settings.value
  document.documentElement.dataset.theme = theme
})
