import { randomUUID } from 'node:crypto'

/** A name for an event, a session, a response or an item. */
export function newId(prefix: string): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`
}
