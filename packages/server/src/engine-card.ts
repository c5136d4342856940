import { tiers } from '@incipit/engine/api'
import { ServerError } from './errors.ts'
import type { ServedEngine } from './served-engine.ts'

/** The answer of `GET /v1/engine`: what runs here, what it has done, and what it costs. */
export async function engineCard(engine: ServedEngine, model: string): Promise<object> {
  if (!engine.stats || !engine.costProfile) throw new ServerError('unsupported', 'this engine tells nothing of itself')
  const { info } = engine
  const [stats, costs] = await Promise.all([engine.stats(), engine.costProfile()])
  return {
    object: 'engine',
    model,
    description: info.description,
    architecture: info.architecture,
    context_length: info.contextLength,
    has_chat_template: info.hasChatTemplate,
    stages: info.stages,
    cache: info.cache,
    proposers: info.proposers,
    tiers: Object.values(tiers).map(({ name, ttftMs, itlMs }) => ({
      name,
      ttft_ms: ttftMs,
      itl_ms: Number.isFinite(itlMs) ? itlMs : null,
    })),
    stats: {
      running: stats.running,
      waiting: stats.waiting,
      cells: stats.cells,
      cells_used: stats.cellsUsed,
      kept_bytes: stats.keptBytes,
      preempted: stats.preempted,
      prompt_tokens: stats.promptTokens,
      cached_tokens: stats.cachedTokens,
      generated_tokens: stats.generatedTokens,
      drafted: stats.drafted,
      accepted: stats.accepted,
      rejected: stats.rejected,
      proposers: stats.proposers,
      retracted: stats.retracted,
      steps: stats.steps,
      rows: stats.rows,
      decode_ms: stats.decodeMs,
      overhead_ms: stats.overheadMs,
    },
    costs,
  }
}
