/** How a model marks what it thinks before it answers. */
export interface ReasoningMarkers {
  /** What its reasoning begins with. */
  readonly start: string
  /** What it ends with: the answer begins here. */
  readonly end: string
  /** Where it is said in messages of its own: how one of them ends, and how the next one begins. */
  readonly messages?: { readonly end: string; readonly next: string }
}

/** Markers of the families whose templates name them, in the order in which they are looked for. */
const known: readonly ReasoningMarkers[] = [
  // gpt-oss says in channels; the last one is the answer.
  {
    start: '<|channel|>analysis<|message|>',
    end: '<|channel|>final<|message|>',
    messages: { end: '<|end|>', next: '<|start|>assistant' },
  },
  { start: '<think>', end: '</think>' },
  { start: '<seed:think>', end: '</seed:think>' },
  { start: '[THINK]', end: '[/THINK]' },
  { start: '<|START_THINKING|>', end: '<|END_THINKING|>' },
  { start: '<thought>', end: '</thought>' },
  // Gemma 4.
  { start: '<|channel>thought\n', end: '<channel|>' },
]

/** The markers that a chat template knows; undefined for models that do not think in tags. */
export function reasoningMarkers(template: string): ReasoningMarkers | undefined {
  if (template.includes('<|channel|>') && template.includes('final')) return known[0]
  return known.slice(1).find(({ end }) => template.includes(end))
}

/**
 * Where a prompt leaves the model: `open` in the middle of its reasoning, `closed` behind it, `optional` where the reply
 * may begin with reasoning or without.
 * @param tail the prompt's last words
 */
export function reasoningAt(tail: string, { start, end }: ReasoningMarkers): 'open' | 'closed' | 'optional' {
  const closed = tail.lastIndexOf(end)
  if (tail.lastIndexOf(start) > closed) return 'open'
  return closed >= 0 && tail.slice(closed + end.length).trim() === '' ? 'closed' : 'optional'
}
