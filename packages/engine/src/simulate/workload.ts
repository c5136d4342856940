import { IncipitError } from '../api/errors.ts'
import { type Tier, type TierName, tiers } from '../api/tiers.ts'
import { exponential, normal, token, uniform } from './random.ts'

/** Lengths are spread by a log-normal distribution: half are below the median, few are many times as long. */
interface Lengths {
  readonly median: number
  /** Standard deviation of the logarithm. */
  readonly sigma: number
}

/** A kind of use. */
interface Kind {
  readonly tier: TierName
  /** Instructions at the beginning that many requests share, and how many different ones there are. */
  readonly system: { readonly tokens: number; readonly variants: number }
  /** What a request adds of its own: a message, passages, a file. */
  readonly message: Lengths
  readonly reply: Lengths
  /** Share of requests that go on where an earlier one of this kind ended: its prompt and reply come first. */
  readonly follows: number
}

export type KindName = 'chat' | 'rag' | 'code' | 'agents' | 'npc' | 'translation' | 'batch'

// Assumptions, not measurements of anybody's traffic: docs/simulation.md names them as such.
const kinds: Readonly<Record<KindName, Kind>> = {
  chat: {
    tier: 'chat',
    system: { tokens: 60, variants: 4 },
    message: { median: 50, sigma: 1 },
    reply: { median: 160, sigma: 0.7 },
    follows: 0.6,
  },
  rag: {
    tier: 'chat',
    system: { tokens: 120, variants: 2 },
    message: { median: 1500, sigma: 0.4 },
    reply: { median: 120, sigma: 0.6 },
    follows: 0,
  },
  code: {
    tier: 'code',
    system: { tokens: 40, variants: 1 },
    message: { median: 700, sigma: 0.6 },
    reply: { median: 30, sigma: 0.7 },
    follows: 0,
  },
  agents: {
    tier: 'analytics',
    system: { tokens: 1500, variants: 3 },
    message: { median: 200, sigma: 0.9 },
    reply: { median: 80, sigma: 0.6 },
    follows: 0.8,
  },
  npc: {
    tier: 'npc',
    system: { tokens: 300, variants: 20 },
    message: { median: 25, sigma: 0.6 },
    reply: { median: 25, sigma: 0.5 },
    follows: 0.5,
  },
  translation: {
    tier: 'translation',
    system: { tokens: 30, variants: 4 },
    message: { median: 70, sigma: 0.9 },
    reply: { median: 80, sigma: 0.9 },
    follows: 0,
  },
  batch: {
    tier: 'batch',
    system: { tokens: 80, variants: 1 },
    message: { median: 900, sigma: 0.5 },
    reply: { median: 200, sigma: 0.6 },
    follows: 0,
  },
}

const kindNames = Object.keys(kinds)

/** Weight of each kind; the sum does not matter. */
export type Mix = Partial<Record<KindName, number>>

/** When requests come. `streams`: a closed loop, in which each client sends its next request when a reply is done. */
export type Arrivals =
  | { readonly pattern: 'poisson' | 'bursts'; readonly perSecond: number }
  | { readonly pattern: 'streams'; readonly streams: number }

export interface WorkloadOptions {
  readonly mix: Mix
  readonly arrivals: Arrivals
  readonly requests: number
  readonly seed: number
  /** Tier of all requests. Default: each kind has its own. */
  readonly tier?: TierName
}

export interface SimulatedRequest {
  readonly index: number
  readonly kind: KindName
  readonly tier: Tier
  /** ms on the virtual clock. */
  readonly arrival: number
  readonly prompt: readonly number[]
  /** Tokens of the reply. */
  readonly reply: number
}

/** Where simulated requests come from. */
export interface RequestSource {
  /** When the next one comes, ms; Infinity when none does, or none before another one is done. */
  readonly next: number
  take(): SimulatedRequest
  /** A reply is done. */
  done(now: number): void
  /** Token `position` of the reply to a request: what the full model says. */
  said(request: number, position: number): number
}

// Requests of a burst, at once.
const burstSize = 10
// A conversation goes on after about this many others of its kind; its reply may not be done by then.
const followsAfter = 16
// The template's tokens after the last message.
export const suffixTokens = 5

// What a draw is about.
const about = { kind: 1, gap: 2, message: 3, reply: 4, variant: 5, follows: 6, which: 7, system: 8, text: 9, said: 10 }

/** Requests of a mix, made as they come: the same seed gives the same ones, whatever becomes of them. */
export class Workload implements RequestSource {
  readonly #options: WorkloadOptions
  readonly #context: number
  readonly #shares: readonly { kind: KindName; upTo: number }[]
  /** Per kind: the last conversations, the oldest first. */
  readonly #conversations = new Map<KindName, SimulatedRequest[]>()
  #taken = 0
  #next: number
  /** Streams: when each idle client sends its next request. */
  readonly #idle: number[] = []

  /** @param context most tokens of a prompt and its reply; longer ones are cut */
  constructor(options: WorkloadOptions, context: number) {
    this.#options = options
    this.#context = context
    const weights = Object.entries(options.mix) as [KindName, number][]
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
    let upTo = 0
    this.#shares = weights.map(([kind, weight]) => {
      upTo += weight / total
      return { kind, upTo }
    })
    const { arrivals } = options
    if (arrivals.pattern === 'streams') this.#idle.push(...new Array<number>(arrivals.streams).fill(0))
    this.#next = 0
  }

  get next(): number {
    if (this.#taken >= this.#options.requests) return Number.POSITIVE_INFINITY
    return this.#options.arrivals.pattern === 'streams' ? (this.#idle[0] ?? Number.POSITIVE_INFINITY) : this.#next
  }

  take(): SimulatedRequest {
    const arrival = this.next
    const request = this.#request(this.#taken++, arrival)
    const { arrivals } = this.#options
    if (arrivals.pattern === 'streams') this.#idle.shift()
    else this.#next += this.#gap(arrivals)
    return request
  }

  done(now: number): void {
    if (this.#options.arrivals.pattern === 'streams') this.#idle.push(now)
  }

  #gap({ pattern, perSecond }: { pattern: 'poisson' | 'bursts'; perSecond: number }): number {
    const size = pattern === 'bursts' ? burstSize : 1
    if (this.#taken % size > 0) return 0
    return exponential(this.#draw(about.gap, this.#taken), (1000 * size) / perSecond)
  }

  #draw(...what: number[]): number {
    return uniform(this.#options.seed, ...what)
  }

  #request(index: number, arrival: number): SimulatedRequest {
    const draw = this.#draw(about.kind, index)
    const kind = (this.#shares.find(({ upTo }) => draw < upTo) ?? this.#shares.at(-1)!).kind
    const { system, message, reply, follows, tier } = kinds[kind]
    const length = ({ median, sigma }: Lengths, what: number) => {
      const spread = normal(this.#draw(what, index, 1), this.#draw(what, index, 2))
      return Math.max(1, Math.round(median * Math.exp(sigma * spread)))
    }
    const half = Math.floor(this.#context / 2)
    const own = Math.min(length(message, about.message), half - suffixTokens)
    const earlier = this.#conversations.get(kind) ?? []
    const since = this.#draw(about.follows, index) < follows && earlier.length > followsAfter
    const which = Math.floor(this.#draw(about.which, index) * (earlier.length - followsAfter))
    const before = since ? earlier[which] : undefined

    let prompt: number[] = []
    if (before && before.prompt.length + before.reply + own + suffixTokens <= half) {
      earlier.splice(which, 1)
      const said = Array.from({ length: before.reply }, (_, i) => this.said(before.index, i))
      prompt = [...before.prompt, ...said]
    } else {
      const variant = Math.floor(this.#draw(about.variant, index) * system.variants)
      const shared = Math.min(system.tokens, half - suffixTokens - own)
      for (let i = 0; i < shared; i++)
        prompt.push(token(this.#options.seed, about.system, kindNames.indexOf(kind), variant, i))
    }
    for (let i = 0; i < own; i++) prompt.push(token(this.#options.seed, about.text, index, i))
    for (let i = 0; i < suffixTokens; i++) prompt.push(i)
    const request = {
      index,
      kind,
      tier: tiers[kind === 'batch' ? 'batch' : (this.#options.tier ?? tier)],
      arrival,
      prompt,
      reply: Math.min(length(reply, about.reply), this.#context - prompt.length - 1),
    }
    if (follows > 0) this.#conversations.set(kind, [...earlier.slice(-4 * followsAfter), request])
    return request
  }

  said(request: number, position: number): number {
    return token(this.#options.seed, about.said, request, position)
  }
}

/**
 * Reads `chat=0.7,rag=0.3`; a kind without a weight has weight 1.
 * @throws IncipitError `invalid_request`
 */
export function parseMix(text: string): Mix {
  const mix: Mix = {}
  for (const part of text.split(',')) {
    const [name, weight = '1', ...rest] = part.split('=').map((piece) => piece.trim())
    if (name === undefined || !Object.hasOwn(kinds, name)) {
      throw invalidMix(`'${name}' is not one of ${kindNames.join(', ')}`)
    }
    const number = weight === '' ? Number.NaN : Number(weight)
    if (rest.length > 0 || !(number > 0) || !Number.isFinite(number)) {
      throw invalidMix(`the weight of ${name} must be a number above 0`)
    }
    if (Object.hasOwn(mix, name)) throw invalidMix(`${name} stands there twice`)
    mix[name as KindName] = number
  }
  return mix
}

function invalidMix(why: string): IncipitError {
  return new IncipitError('invalid_request', `the mix reads kind=weight,kind=weight: ${why}`, { param: 'mix' })
}
