import { effect, type Signal, signal } from '@preact/signals'

/** Why something could not be kept; undefined while everything can. */
export const storageFailure: Signal<string | undefined> = signal(undefined)

/** What the browser keeps under a name. */
export function read<T>(name: string): T | undefined {
  try {
    const text = localStorage.getItem(name)
    return text === null ? undefined : (JSON.parse(text) as T)
  } catch {
    // Private windows may refuse, and what an older page wrote may be anything.
    return undefined
  }
}

export function write(name: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(name)
    else localStorage.setItem(name, JSON.stringify(value))
    storageFailure.value = undefined
  } catch (error) {
    storageFailure.value = `This browser keeps no more: ${error instanceof Error ? error.message : error}`
  }
}

/** A signal whose value the browser keeps. Members that are new in this version have their initial value. */
export function stored<T extends object>(name: string, initial: T): Signal<T> {
  const value = signal<T>({ ...initial, ...read<Partial<T>>(name) })
  effect(() => write(name, value.value))
  return value
}
