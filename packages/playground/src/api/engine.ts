import { signal } from '@preact/signals'
import { headers } from '../settings.ts'
import { refreshModels, withModel } from './models.ts'

/** The answer of `GET /v1/engine`. */
export interface Engine {
  model: string
  description: string
  context_length: number
  has_chat_template: boolean
  stages: [number, number][]
  proposers: Record<string, { available: boolean; note?: string }>
  tiers: { name: string; ttft_ms: number; itl_ms: number | null }[]
  stats: {
    running: number
    waiting: number
    cells: number
    cells_used: number
    prompt_tokens: number
    cached_tokens: number
    generated_tokens: number
    drafted: number
    accepted: number
    rejected: number
    proposers: Record<string, { drafts: number; drafted: number; accepted: number }>
    retracted: number
    steps: number
    rows: number
    decode_ms: number
    overhead_ms: number
  }
  costs: { rows: number; ms: number; loose?: boolean }[][]
}

export const engine = signal<Engine | undefined>(undefined)
/** Why the server cannot be used now: for people, and as a code. */
export const trouble = signal<{ code: string; message: string } | undefined>(undefined)

const retryMs = 1000

/** Asks what runs there. */
export async function refresh(): Promise<boolean> {
  try {
    const path = withModel('/v1/engine')
    const response = await fetch(path, { headers: headers.peek() })
    const body = await response.json()
    // Another model was chosen meanwhile.
    if (path !== withModel('/v1/engine')) return await refresh()
    if (!response.ok) {
      trouble.value = { code: body.error?.code ?? 'http_error', message: body.error?.message ?? response.statusText }
      return false
    }
    engine.value = body
    trouble.value = undefined
    return true
  } catch {
    trouble.value = { code: 'unreachable', message: 'the server cannot be reached' }
    return false
  }
}

let asking: ReturnType<typeof setTimeout> | undefined

/** Asks until there is an answer, and from then on whenever something is wrong. A missing key waits for its entry. */
export async function connect(): Promise<void> {
  clearTimeout(asking)
  await refreshModels()
  if ((await refresh()) || trouble.value?.code === 'invalid_api_key') return
  asking = setTimeout(() => void connect(), retryMs)
}
