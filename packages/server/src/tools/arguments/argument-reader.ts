import type { StructuralTag } from '@incipit/engine/api'
import type { Tool } from '../tool.ts'

/** How a convention writes the arguments of a call. */
export interface ArgumentNotation {
  /**
   * What may stand between the beginning and the end of a call.
   * @throws IncipitError `invalid_request` for a strict tool whose schema cannot be enforced whole in this notation
   */
  grammar(tool: Tool): Omit<StructuralTag, 'begin' | 'end'>
  reader(tool: Tool): ArgumentReader
}

/** Reads the arguments of a call, which come piece by piece, as JSON. */
export interface ArgumentReader {
  /** @param text that was not read yet; what is not taken of it comes again, with more behind it */
  take(text: string): TakenArguments
  /** For text that may be taken back. */
  clone(): ArgumentReader
}

export interface TakenArguments {
  /** The next piece of the JSON. */
  readonly json: string
  /** How many characters were taken. */
  readonly length: number
  /** The arguments are whole. */
  readonly ended: boolean
}

/** A piece of a text as it stands within a JSON string. */
export function withinJsonString(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** How many characters at the end of a text may be the beginning of a marker. */
export function overlap(text: string, marker: string): number {
  for (let length = Math.min(text.length, marker.length - 1); length > 0; length--) {
    if (marker.startsWith(text.slice(-length))) return length
  }
  return 0
}
