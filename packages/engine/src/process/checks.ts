/** A message that is not what the protocol says. `message` names the place. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ProtocolError'
  }
}

/**
 * Checks a value that came from the other process, and returns it as what it is.
 * @param at where it stands in the message
 * @throws ProtocolError
 */
export type Check<T> = (value: unknown, at: string) => T

type Checked<C> = C extends Check<infer T> ? T : never

export function wrong(at: string, wanted: string, value: unknown): ProtocolError {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
  return new ProtocolError(`${at} must be ${wanted}, not ${kind}`)
}

export const string: Check<string> = (value, at) => {
  if (typeof value !== 'string') throw wrong(at, 'text', value)
  return value
}

export const boolean: Check<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw wrong(at, 'true or false', value)
  return value
}

export const number: Check<number> = (value, at) => {
  if (typeof value !== 'number') throw wrong(at, 'a number', value)
  return value
}

/** A whole number from 0 on: an id, a token, a count. */
export const count: Check<number> = (value, at) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(at, 'a whole number from 0 on', value)
  return value as number
}

/** Any object; what is in it is somebody else's to check. */
export const record: Check<Record<string, unknown>> = (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'an object', value)
  return value as Record<string, unknown>
}

export function nullable<T>(check: Check<T>): Check<T | null> {
  return (value, at) => (value === null ? null : check(value, at))
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, at) => (value === undefined ? undefined : check(value, at))
}

export function list<T>(check: Check<T>): Check<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw wrong(at, 'a list', value)
    for (let i = 0; i < value.length; i++) check(value[i], `${at}[${i}]`)
    return value as T[]
  }
}

export function oneOf<T extends string>(known: readonly T[]): Check<T> {
  return (value, at) => {
    if (!known.includes(value as T)) throw wrong(at, `one of ${known.join(', ')}`, value)
    return value as T
  }
}

/** An object whose members are these. The object itself is returned: members that nobody knows stay in it. */
export function object<M extends Record<string, Check<unknown>>>(members: M): Check<{ [K in keyof M]: Checked<M[K]> }> {
  const entries = Object.entries(members)
  return (value, at) => {
    const object = record(value, at)
    for (const [name, check] of entries) check(object[name], `${at}.${name}`)
    return object as { [K in keyof M]: Checked<M[K]> }
  }
}
