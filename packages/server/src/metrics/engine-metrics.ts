import type { EngineStats } from '@incipit/engine/api'
import type { Family, FamilyHead, Labels } from './exposition.ts'

/** What an engine counts: one value, or one for each of a few labels. */
interface EngineMetric extends FamilyHead {
  readonly type: 'counter' | 'gauge'
  readonly read: (stats: EngineStats) => number | readonly (readonly [Labels, number])[]
}

const proposers = (count: 'drafted' | 'accepted') => (stats: EngineStats) =>
  Object.entries(stats.proposers).map(([proposer, counts]) => [{ proposer }, counts[count]] as const)

const metrics: readonly EngineMetric[] = [
  {
    name: 'incipit_requests_running',
    type: 'gauge',
    help: 'Requests that have a place in the engine.',
    read: (stats) => stats.running,
  },
  {
    name: 'incipit_requests_waiting',
    type: 'gauge',
    help: 'Requests that wait for a place.',
    read: (stats) => stats.waiting,
  },
  {
    name: 'incipit_preemptions_total',
    type: 'counter',
    help: 'Requests that lost their place and were computed again.',
    read: (stats) => stats.preempted,
  },
  {
    name: 'incipit_prompt_tokens_total',
    type: 'counter',
    help: 'Tokens of the prompts of requests that are over.',
    read: (stats) => stats.promptTokens,
  },
  {
    name: 'incipit_cached_tokens_total',
    type: 'counter',
    help: 'Of the tokens of prompts, those that did not have to be computed.',
    read: (stats) => stats.cachedTokens,
  },
  {
    name: 'incipit_generated_tokens_total',
    type: 'counter',
    help: 'Committed tokens of replies.',
    read: (stats) => stats.generatedTokens,
  },
  {
    name: 'incipit_lossy_tokens_total',
    type: 'counter',
    help: 'Committed tokens that are not the full model’s own choice, by policy.',
    read: (stats) => [
      [{ policy: 'tolerant' }, stats.tolerated],
      [{ policy: 'confident' }, stats.early],
    ],
  },
  {
    name: 'incipit_draft_tokens_total',
    type: 'counter',
    help: 'Draft tokens that came true, and that were rolled back.',
    read: (stats) => [
      [{ result: 'accepted' }, stats.accepted],
      [{ result: 'rejected' }, stats.rejected],
    ],
  },
  {
    name: 'incipit_proposer_drafted_tokens_total',
    type: 'counter',
    help: 'Draft tokens, by who guessed them.',
    read: proposers('drafted'),
  },
  {
    name: 'incipit_proposer_accepted_tokens_total',
    type: 'counter',
    help: 'Draft tokens that came true, by who guessed them.',
    read: proposers('accepted'),
  },
  {
    name: 'incipit_retractions_total',
    type: 'counter',
    help: 'Provisional texts that were shown and taken back.',
    read: (stats) => stats.retracted,
  },
  { name: 'incipit_kv_cells', type: 'gauge', help: 'Cells of the KV cache.', read: (stats) => stats.cells },
  {
    name: 'incipit_kv_cells_used',
    type: 'gauge',
    help: 'Cells of the KV cache that hold rows of requests.',
    read: (stats) => stats.cellsUsed,
  },
  {
    name: 'incipit_kept_bytes',
    type: 'gauge',
    help: 'Bytes of rows of requests that are over, kept outside the KV cache for prompts that begin alike.',
    read: (stats) => stats.keptBytes,
  },
  {
    name: 'incipit_checkpoint_bytes',
    type: 'gauge',
    help: 'Bytes of checkpoints, of requests that run and of rows that are kept.',
    read: (stats) => stats.checkpointBytes,
  },
  { name: 'incipit_steps_total', type: 'counter', help: 'Steps of the model.', read: (stats) => stats.steps },
  {
    name: 'incipit_rows_total',
    type: 'counter',
    help: 'Rows that were run in all stages: what was kept and what was rolled back.',
    read: (stats) => stats.rows,
  },
  {
    name: 'incipit_decode_seconds_total',
    type: 'counter',
    help: 'Seconds inside native decodes.',
    read: (stats) => stats.decodeMs / 1000,
  },
  {
    name: 'incipit_overhead_seconds_total',
    type: 'counter',
    help: 'Seconds between two native decodes while there was work.',
    read: (stats) => stats.overheadMs / 1000,
  },
]

/** What engines count, by the names of their models. */
export function engineFamilies(models: readonly { readonly model: string; readonly stats: EngineStats }[]): Family[] {
  return metrics.map(({ read, ...head }) => ({
    ...head,
    samples: models.flatMap(({ model, stats }) => {
      const value = read(stats)
      const values = typeof value === 'number' ? [[{}, value] as const] : value
      return values.map(([labels, value]) => ({ labels: { model, ...labels }, value }))
    }),
  }))
}
