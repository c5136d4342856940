import { randomBytes } from 'node:crypto'

/** A name for a call, by which its result refers to it. */
export function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`
}
