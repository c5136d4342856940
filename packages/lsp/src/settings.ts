import { record } from './record.ts'

/** What a user may set; `docs/editors.md` explains them. */
export interface Settings {
  readonly enabled: boolean
  /** Path, name in the store, or `hf:` reference; empty: the best one for code that is there. */
  readonly model: string
  /** Address of a server to use instead of an engine of our own; empty: none. */
  readonly server: string
  /** What that server speaks. */
  readonly serverType: ServerType
  /** Name of the model at that server. */
  readonly serverModel: string
  /** Environment variable with the key of that server. */
  readonly apiKeyVariable: string
  /** Nothing less likely to be accepted is shown; 0 shows everything. */
  readonly minAcceptance: number
  /** Most tokens of a prompt. */
  readonly contextTokens: number
  /** Most tokens of a completion. */
  readonly maxTokens: number
  /** Milliseconds after which a completion of several lines is shown as far as it is. */
  readonly patienceMs: number
  /** Whether other open files go into the prompt. */
  readonly relatedFiles: boolean
  /** Whether what comes after a completion is computed while it is shown. */
  readonly nextAhead: boolean
  /** Whether the change that follows from the last ones is offered. */
  readonly nextEdits: boolean
  readonly threads: number
  /** Whether engines are shared with other editors of this user. */
  readonly share: boolean
}

const serverTypes = ['auto', 'incipit', 'llama-server', 'openai'] as const
type ServerType = (typeof serverTypes)[number]

export const defaultSettings: Settings = {
  enabled: true,
  model: '',
  server: '',
  serverType: 'auto',
  serverModel: '',
  apiKeyVariable: '',
  minAcceptance: 0.25,
  contextTokens: 2048,
  maxTokens: 64,
  patienceMs: 600,
  relatedFiles: true,
  nextAhead: true,
  nextEdits: true,
  threads: 0,
  share: true,
}

/** Which settings, when they change, take another back end. */
export const backendSettings = [
  'model',
  'server',
  'serverType',
  'serverModel',
  'apiKeyVariable',
  'contextTokens',
  'threads',
  'share',
] as const satisfies readonly (keyof Settings)[]

const ranges: Readonly<Partial<Record<keyof Settings, readonly [number, number]>>> = {
  minAcceptance: [0, 1],
  contextTokens: [64, 131_072],
  maxTokens: [1, 1024],
  patienceMs: [0, 60_000],
  threads: [0, 1024],
}

/**
 * Settings as an editor sends them: what is missing or null keeps its default, and what makes no sense is said.
 * @returns the settings, and a sentence for each one that was refused
 */
export function settingsFrom(given: unknown): { settings: Settings; problems: readonly string[] } {
  const problems: string[] = []
  const settings: Record<string, unknown> = { ...defaultSettings }
  const values = record(given)
  for (const [name, fallback] of Object.entries(defaultSettings)) {
    const value = values[name]
    if (value === undefined || value === null) continue
    const problem = problemOf(name as keyof Settings, value, fallback)
    if (problem === undefined) settings[name] = value
    else problems.push(`${name} ${problem}; ${JSON.stringify(fallback)} is used`)
  }
  return { settings: settings as unknown as Settings, problems }
}

function problemOf(name: keyof Settings, value: unknown, fallback: unknown): string | undefined {
  if (typeof value !== typeof fallback) return `must be a ${typeof fallback}, not ${JSON.stringify(value)}`
  const range = ranges[name]
  if (range && typeof value === 'number' && !(value >= range[0] && value <= range[1])) {
    return `must be from ${range[0]} to ${range[1]}, not ${value}`
  }
  if (name === 'serverType' && !serverTypes.includes(value as ServerType)) {
    return `must be one of ${serverTypes.join(', ')}, not ${JSON.stringify(value)}`
  }
  return undefined
}
