import { mkdir } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import type { CostProfile } from '../api/cost-profile.ts'
import type { Log } from '../api/engine-options.ts'
import type { MachineConstants } from '../core/schedule/machine-constants.ts'
import { derivedDir } from '../gguf/index.ts'
import { kernelsInUse } from '../llama/library.ts'
import type { SavedAcceptances } from '../proposers/acceptances.ts'
import type { SavedFirstWords } from '../proposers/first-words.ts'
import { readDerived, writeDerived } from './derived-json.ts'

/** What an engine learnt about one model on one machine: what rows cost, and how often its proposers were right. */
export interface Profile {
  readonly costs: CostProfile
  readonly acceptances: SavedAcceptances
  readonly firstWords?: SavedFirstWords
  /** What steps may be there. */
  readonly machine: MachineConstants
}

/** Whatever changes what rows cost. */
export interface ProfileOf {
  readonly cacheDir: string
  /** Content hash of the model. */
  readonly hash: string
  readonly stages: readonly (readonly [number, number])[]
  readonly threads: readonly number[]
  readonly cache: 'unified' | 'separate'
  /** Layers on GPUs. */
  readonly gpuLayers: number
  /** Undefined: as llama.cpp decides. */
  readonly flashAttention?: boolean | undefined
}

interface SavedProfile extends Profile {
  readonly basis: string
}

/** What an earlier run learnt under the same conditions, or undefined. */
export async function loadProfile(of: ProfileOf, log: Log): Promise<Profile | undefined> {
  const saved = await readDerived<SavedProfile>(profilePath(of), isProfile, log)
  return saved?.basis === basisOf(of) ? saved : undefined
}

function isProfile({ basis, costs, acceptances, machine }: Record<string, unknown>): boolean {
  const { batchRows, tileRows, stepMs, backgroundRows } = (machine ?? {}) as Partial<
    Record<keyof MachineConstants, unknown>
  >
  const sizes = [batchRows, tileRows, stepMs, backgroundRows]
  if (!sizes.every((size) => typeof size === 'number' && size >= 1)) return false
  const isPoint = (point: unknown) => {
    const { rows, ms } = (point ?? {}) as Partial<Record<'rows' | 'ms', unknown>>
    return typeof rows === 'number' && typeof ms === 'number' && rows > 0 && ms >= 0
  }
  if (typeof basis !== 'string' || typeof acceptances !== 'object' || acceptances === null) return false
  return Array.isArray(costs) && costs.every((points) => Array.isArray(points) && points.every(isPoint))
}

/** Saves what was learnt. A cache that cannot be written is named in the log and changes nothing else. */
export async function saveProfile(of: ProfileOf, profile: Profile, log: Log): Promise<void> {
  const saved: SavedProfile = { basis: basisOf(of), ...profile }
  try {
    await mkdir(derivedDir(of.cacheDir, of.hash), { recursive: true })
    await writeDerived(profilePath(of), saved)
  } catch (error) {
    log('warn', `what was learnt about this model is not saved: ${(error as Error).message}`)
  }
}

function profilePath({ cacheDir, hash }: ProfileOf): string {
  return join(derivedDir(cacheDir, hash), 'profile.json')
}

function basisOf({ stages, threads, cache, gpuLayers, flashAttention }: ProfileOf): string {
  const cpu = cpus()[0]?.model ?? ''
  return JSON.stringify({ kernels: kernelsInUse(), cpu, stages, threads, cache, gpuLayers, flashAttention })
}
