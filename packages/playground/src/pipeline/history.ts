import type { Record, RequestChange, Step, Token } from '../api/steps.ts'

/** What was told of one request. */
export interface Seen {
  readonly request: number
  tier: string
  promptTokens: number
  cachedTokens: number
  /** It answers a text that is not final. */
  early: boolean
  /** It began as such a one: how long its first token took says nothing. */
  wasEarly: boolean
  began: number | undefined
  firstToken: number | undefined
  over: number | undefined
  reason: string | undefined
  tokens: number
  guessed: number
  right: number
  rejected: number
  input: boolean
  firstAt: number
  lastAt: number
}

/** How long a request took from its place to its first token, in milliseconds. */
export function firstTokenOf({ began, firstToken }: Seen): number | undefined {
  return began === undefined || firstToken === undefined ? undefined : Math.max(0, firstToken - began)
}

/** Requests and steps as a waterfall shows them, made of records as they come. */
export class History {
  readonly steps: Step[] = []
  readonly tokens: Token[] = []
  readonly requests = new Map<number, Seen>()
  stages = 1
  /** The device that each stage runs on. */
  readonly devices: number[] = []
  missing = 0
  /** How many were told. */
  records = 0
  /** Engine time of the last record, and the page's when it came. */
  last: { readonly at: number; readonly here: number } | undefined

  take(records: readonly Record[]): void {
    this.records += records.length
    for (const record of records) {
      if (record.type === 'gap') {
        this.missing += record.records
        continue
      }
      if (record.type === 'restart') {
        this.#clear()
        continue
      }
      const end = record.type === 'step' ? record.at + record.ms : record.at
      if (!this.last || end > this.last.at) this.last = { at: end, here: performance.now() }
      if (record.type === 'step') this.#step(record)
      else if (record.type === 'request') this.#request(record)
      else if (record.type === 'token') this.#token(record)
      else this.#seen(record.request, record.at).guessed += record.stabilities.length
    }
    this.#forget()
  }

  /** Engine time now, as far as one can tell. */
  now(): number {
    return this.last ? this.last.at + Math.max(0, performance.now() - this.last.here - 50) : 0
  }

  /** The latest requests, those that are not over first. */
  latest(count: number): Seen[] {
    return [...this.requests.values()].sort((a, b) => b.lastAt - a.lastAt).slice(0, count)
  }

  /** The latest requests of a stretch of time, in their order. */
  within(from: number, until: number, count: number): Seen[] {
    const there = this.latest(this.requests.size).filter(({ firstAt, lastAt }) => firstAt <= until && lastAt >= from)
    return there.slice(0, count).sort((a, b) => a.request - b.request)
  }

  #clear(): void {
    this.steps.length = 0
    this.tokens.length = 0
    this.requests.clear()
    this.stages = 1
    this.devices.length = 0
    this.missing = 0
    this.last = undefined
  }

  #seen(request: number, at: number): Seen {
    const known = this.requests.get(request) ?? {
      request,
      tier: '',
      promptTokens: 0,
      cachedTokens: 0,
      early: false,
      wasEarly: false,
      began: undefined,
      firstToken: undefined,
      over: undefined,
      reason: undefined,
      tokens: 0,
      guessed: 0,
      right: 0,
      rejected: 0,
      input: false,
      firstAt: at,
      lastAt: at,
    }
    known.lastAt = Math.max(known.lastAt, at)
    this.requests.set(request, known)
    return known
  }

  #step(step: Step): void {
    this.steps.push(step)
    this.stages = Math.max(this.stages, step.stage + 1)
    this.devices[step.stage] = step.device
    for (const { request, kind } of step.rows) {
      const seen = this.#seen(request, step.at)
      if (kind === 'input') seen.input = true
    }
  }

  #request({ request, at, state, tier, prompt_tokens, cached_tokens, early, reason }: RequestChange): void {
    const seen = this.#seen(request, at)
    Object.assign(seen, {
      tier,
      promptTokens: prompt_tokens,
      cachedTokens: cached_tokens,
      early,
      wasEarly: seen.wasEarly || early,
    })
    if (state === 'began') seen.began ??= at
    if (state === 'over') Object.assign(seen, { over: at, reason })
  }

  #token(token: Token): void {
    this.tokens.push(token)
    const seen = this.#seen(token.request, token.at)
    seen.firstToken ??= token.at
    seen.tokens++
    if (token.guessed) seen.right++
    seen.rejected += token.rejected ?? 0
  }

  #forget(): void {
    if (this.steps.length > 20_000) this.steps.splice(0, 5000)
    if (this.tokens.length > 20_000) this.tokens.splice(0, 5000)
    if (this.requests.size > 500) {
      for (const { request } of this.latest(500).slice(250)) this.requests.delete(request)
    }
  }
}
