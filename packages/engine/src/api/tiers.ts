/** How soon a kind of use wants its first word, and how long its words may keep it waiting. */
export interface Tier {
  readonly name: TierName
  /** Wanted time to first token, ms: prompts are computed in the order in which they are due. */
  readonly ttftMs: number
  /** Inter-token latency bound, ms: prompt rows of others are cut into pieces that keep it. */
  readonly itlMs: number
  /** Whether anything may be speculated for it. */
  readonly speculates: boolean
  /** Runs in what others leave until it is overdue, and gives its place up to whoever is no such work. */
  readonly preemptible: boolean
}

export type TierName = 'npc' | 'translation' | 'code' | 'analytics' | 'chat' | 'batch'

// Five words a second is fast reading; a voice or an editor wants more. A batch job is due after a minute: until then it
// runs only in what others leave, from then on it is a request like any other, so that it does not starve.
export const tiers: Readonly<Record<TierName, Tier>> = {
  npc: { name: 'npc', ttftMs: 50, itlMs: 80, speculates: true, preemptible: false },
  translation: { name: 'translation', ttftMs: 100, itlMs: 100, speculates: true, preemptible: false },
  code: { name: 'code', ttftMs: 200, itlMs: 100, speculates: true, preemptible: false },
  analytics: { name: 'analytics', ttftMs: 300, itlMs: 250, speculates: true, preemptible: false },
  chat: { name: 'chat', ttftMs: 500, itlMs: 250, speculates: true, preemptible: false },
  batch: { name: 'batch', ttftMs: 60_000, itlMs: Number.POSITIVE_INFINITY, speculates: false, preemptible: true },
}

/** The names, the most urgent first. */
export const tierNames = Object.keys(tiers) as readonly TierName[]

export const defaultTier = tiers.chat
