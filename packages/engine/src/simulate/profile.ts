import type { CostProfile } from '../api/cost-profile.ts'
import { IncipitError } from '../api/errors.ts'
import { microbatches, oneBatch } from '../core/cost/microbatches.ts'
import type { Rows } from '../core/sequences/sequence.ts'

/** What attention adds to a step of a stage, beyond the cost by rows: long contexts have to be read. */
export interface AttentionCost {
  /** ms per KV cell that a sequence of the step reads, however many rows it has: memory traffic. */
  readonly cellMs: number
  /** ms per pair of a row and a cell before it: arithmetic. */
  readonly pairMs: number
  /** The same where a sequence has fewer rows in the step than a tile. */
  readonly loosePairMs: number
}

/** A machine with a model on it, as the simulator knows it. */
export interface MachineProfile {
  readonly name: string
  /** For people: which model, which machine, where the numbers come from. */
  readonly description: string
  /** Rent of the whole machine. */
  readonly dollarsPerHour: number
  /** KV cells, and most tokens of one request with its reply. */
  readonly cells: number
  readonly context: number
  /** Sequences that the cache has room for, looks among them; and most requests that run at once. */
  readonly slots: number
  readonly parallel: number
  /** One KV cache for all slots, or one for each (see `CoreOptions`): then rows of different slots may need passes. */
  readonly unified: boolean
  /** Bytes of a KV cell, all stages together, and memory for rows of requests that are over. */
  readonly cellBytes: number
  readonly keptBytes: number
  /** Most rows of one step. */
  readonly batch: number
  /** Rows that attention computes together: a part of them costs as much as all. 1: there are no tiles. */
  readonly tile: number
  /** Per stage the device it lives on: stages of one device take turns. */
  readonly devices: readonly number[]
  /** Per stage, ms by rows of a step over short contexts, at rising rows; straight lines between the points. */
  readonly costs: CostProfile
  /** Per stage. */
  readonly attention: readonly AttentionCost[]
  /** ms of the engine's own work between two steps. */
  readonly betweenStepsMs: number
  /** Standard deviation of the logarithm of a step's ms. 0: every step takes what the profile says. */
  readonly noise: number
  /** The last token that leaves stage 0 may be followed by a guess of its exit head. Needs two stages. */
  readonly exit: boolean
}

/** What the duration of a step depends on. */
interface StepRows {
  readonly stage: number
  readonly rows: readonly Pick<Rows, 'slot' | 'from' | 'to'>[]
}

/** ms of a step, without noise. */
export function stepMs(profile: MachineProfile, step: StepRows): number {
  const { cellMs, pairMs, loosePairMs } = profile.attention[step.stage]!
  const { tile } = profile
  let ms = 0
  let total = 0
  for (const { from, to } of step.rows) {
    const rows = to - from
    total += rows
    // Row i reads itself and the i cells before it.
    const perRow = (from + to + 1) / 2
    const arithmetic = rows < tile ? loosePairMs * rows : pairMs * Math.ceil(rows / tile) * tile
    ms += Math.max(cellMs * to, arithmetic * perRow)
  }
  for (const { rows } of profile.unified
    ? [oneBatch(total)]
    : microbatches(step.rows.map(({ slot, from, to }) => ({ slot, rows: to - from }))))
    ms += rowsMs(profile, step.stage, rows)
  return ms
}

/** ms of a step with this many rows, all of short contexts. */
export function rowsMs(profile: MachineProfile, stage: number, rows: number): number {
  const points = profile.costs[stage]!
  const first = points[0]!
  if (rows <= first.rows) return first.ms
  let below = first
  for (const above of points) {
    if (above.rows >= rows) return below.ms + ((above.ms - below.ms) * (rows - below.rows)) / (above.rows - below.rows)
    below = above
  }
  // Beyond the last point every further row costs what the last ones did.
  const before = points.at(-2) ?? { rows: 0, ms: 0 }
  return below.ms + ((below.ms - before.ms) * (rows - below.rows)) / (below.rows - before.rows)
}

/**
 * Reads a profile.
 * @throws IncipitError `invalid_request`, naming the member that is wrong
 */
export function parseProfile(text: string): MachineProfile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new IncipitError('invalid_request', `the profile is not JSON: ${(cause as Error).message}`, { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail('content', 'an object')
  const raw = value as Record<string, unknown>
  const devices = list(raw, 'devices', (device) => (isWhole(device, 0) ? device : undefined), 'a device number')
  const costs = list(raw, 'costs', pointsOf, 'points { rows, ms } at rising rows')
  const attention = list(raw, 'attention', attentionOf, '{ cellMs, pairMs, loosePairMs }, not negative')
  if (costs.length !== devices.length) fail('costs', `one list per stage (${devices.length})`)
  if (attention.length !== devices.length) fail('attention', `one entry per stage (${devices.length})`)
  const used = new Set(devices)
  if (![...used].every((device) => device < used.size)) fail('devices', 'numbered from 0 without gaps')
  const exit = truth(raw, 'exit', false)
  if (exit && devices.length < 2) fail('exit', 'false where there is one stage')
  const cells = number(raw, 'cells', 1, true)
  return {
    name: text_(raw, 'name'),
    description: text_(raw, 'description'),
    dollarsPerHour: number(raw, 'dollarsPerHour', 0),
    cells,
    context: Math.min(number(raw, 'context', 2, true), cells),
    slots: number(raw, 'slots', number(raw, 'parallel', 1, true) + 1, true),
    parallel: number(raw, 'parallel', 1, true),
    unified: truth(raw, 'unified', true),
    cellBytes: number(raw, 'cellBytes', 0),
    keptBytes: number(raw, 'keptBytes', 0),
    batch: number(raw, 'batch', 1, true),
    tile: number(raw, 'tile', 1, true),
    devices,
    costs,
    attention,
    betweenStepsMs: number(raw, 'betweenStepsMs', 0),
    noise: number(raw, 'noise', 0),
    exit,
  }
}

function fail(param: string, wanted: string): never {
  throw new IncipitError('invalid_request', `the profile's ${param} must be ${wanted}`, { param })
}

function isWhole(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least
}

function text_(raw: Record<string, unknown>, param: string): string {
  const value = raw[param]
  return typeof value === 'string' && value !== '' ? value : fail(param, 'a text')
}

function number(raw: Record<string, unknown>, param: string, least: number, whole = false): number {
  const value = raw[param]
  const good = whole ? isWhole(value, least) : typeof value === 'number' && Number.isFinite(value) && value >= least
  return good ? (value as number) : fail(param, `a ${whole ? 'whole ' : ''}number of at least ${least}`)
}

function truth(raw: Record<string, unknown>, param: string, fallback: boolean): boolean {
  const value = raw[param] ?? fallback
  return typeof value === 'boolean' ? value : fail(param, 'true or false')
}

function list<T>(
  raw: Record<string, unknown>,
  param: string,
  read: (value: unknown) => T | undefined,
  wanted: string,
): T[] {
  const values = raw[param]
  if (!Array.isArray(values) || values.length === 0) fail(param, 'a list with one entry per stage')
  return values.map((value) => read(value) ?? fail(param, `a list of ${wanted}`))
}

function pointsOf(value: unknown): { rows: number; ms: number }[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined
  const points: { rows: number; ms: number }[] = []
  for (const point of value) {
    const { rows, ms } = (point ?? {}) as Record<string, unknown>
    if (typeof rows !== 'number' || typeof ms !== 'number') return undefined
    if (!(rows > (points.at(-1)?.rows ?? 0)) || !(ms > 0) || !Number.isFinite(rows + ms)) return undefined
    points.push({ rows, ms })
  }
  return points
}

function attentionOf(value: unknown): AttentionCost | undefined {
  const { cellMs, pairMs, loosePairMs } = (value ?? {}) as Record<string, unknown>
  if (typeof cellMs !== 'number' || typeof pairMs !== 'number' || typeof loosePairMs !== 'number') return undefined
  if (!(Math.min(cellMs, pairMs, loosePairMs) >= 0)) return undefined
  return Number.isFinite(cellMs + pairMs + loosePairMs) ? { cellMs, pairMs, loosePairMs } : undefined
}
