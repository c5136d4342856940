import type { Backend } from '../backends/backend.ts'
import { backendSettings, defaultSettings, type Settings } from '../settings.ts'

export interface ConfiguredBackendOptions {
  /** @throws for a model that is not there, a server that does not answer */
  readonly open: (settings: Settings) => Promise<Backend>
  /** It is there. */
  readonly onOpened: () => void
  /** It is about to be closed: what stands on it ends. */
  readonly onLeaving: () => void
  readonly onFailure: (message: string) => void
  /** What the status says may have changed. */
  readonly onChange: () => void
}

/** The settings as they are, and the back end for them. Changes are made one after the other. */
export class ConfiguredBackend {
  readonly #options: ConfiguredBackendOptions
  #settings = defaultSettings
  #current: { readonly backend: Backend; readonly settings: Settings } | undefined
  #failure: string | undefined
  #closed = false
  /** The first settings, or the end: until then there is nothing to change. */
  readonly #begin = Promise.withResolvers<void>()
  #changes: Promise<void> = this.#begin.promise

  constructor(options: ConfiguredBackendOptions) {
    this.#options = options
  }

  get settings(): Settings {
    return this.#settings
  }

  get backend(): Backend | undefined {
    return this.#current?.backend
  }

  get failure(): string | undefined {
    return this.#failure ?? this.backend?.failure?.message
  }

  get state(): 'off' | 'failed' | 'loading' | 'ready' {
    if (!this.#settings.enabled) return 'off'
    if (this.failure !== undefined) return 'failed'
    return this.backend ? 'ready' : 'loading'
  }

  /** Resolves when there is the back end that these settings ask for, or cannot be. */
  apply(settings: Settings): Promise<void> {
    this.#settings = settings
    return this.#change(() => this.#follow())
  }

  /** Resolves when no other back end is being opened, or closed, or with the signal. */
  async settled(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    for (let seen: Promise<void> | undefined; seen !== this.#changes && !signal.aborted; ) {
      seen = this.#changes
      await Promise.race([seen, aborted])
    }
  }

  close(): Promise<void> {
    this.#closed = true
    return this.#change(() => this.#leave())
  }

  #change(make: () => Promise<void>): Promise<void> {
    this.#changes = this.#changes.then(make).catch((error: unknown) => this.#fail(error))
    this.#begin.resolve()
    return this.#changes
  }

  /** Takes what the settings ask for by now. */
  async #follow(): Promise<void> {
    const settings = this.#settings
    const there = this.#current
    const same = there && backendSettings.every((name) => there.settings[name] === settings[name])
    if (!settings.enabled || !same) await this.#leave()
    if (settings.enabled && !this.#current && !this.#closed) await this.#open(settings)
    this.#options.onChange()
  }

  async #open(settings: Settings): Promise<void> {
    this.#failure = undefined
    this.#options.onChange()
    try {
      const backend = await this.#options.open(settings)
      this.#current = { backend, settings }
      void backend.gone?.then(() => this.#lost(backend))
      this.#options.onOpened()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error.message : String(error)
    this.#options.onFailure(this.#failure)
  }

  /** Whoever had the engine is gone: another one takes its place, and nobody notices but for a missing suggestion. */
  #lost(backend: Backend): void {
    if (this.backend !== backend) return
    void this.#change(async () => {
      if (this.backend === backend) await this.#leave()
      await this.#follow()
    })
  }

  async #leave(): Promise<void> {
    this.#failure = undefined
    this.#options.onLeaving()
    const backend = this.backend
    this.#current = undefined
    await backend?.close()
  }
}
