/** Milliseconds that steps take, as the cost model knows them. */
export interface Costs {
  /** Milliseconds of a step with this many rows of a stage, that look back on `depth` positions (default: any). */
  rows(stage: number, rows: number, depth?: number): number
  /** Most rows of a stage that fit into this many milliseconds, looking back on `depth` positions; at least 1. */
  within(stage: number, ms: number, depth?: number): number
}

/** Milliseconds of this many rows through all stages. */
export function throughAll(stages: number, costs: Pick<Costs, 'rows'>, rows: number): number {
  let ms = 0
  for (let stage = 0; stage < stages; stage++) ms += costs.rows(stage, rows)
  return ms
}
