import { memberOf } from './client-error.ts'

/** A tool that the model wants called, as `tool_calls` of a message has it. */
export interface ToolCall {
  id: string
  type: 'function'
  /** The arguments are JSON. */
  function: { name: string; arguments: string }
}

/** Puts the pieces together in which calls are streamed: each says its place, the first one of a call its id and name. */
export class ToolCalls {
  readonly #calls = new Map<unknown, ToolCall>()

  /** @param pieces the `tool_calls` of a chunk; anything else says nothing */
  take(pieces: unknown): void {
    if (!Array.isArray(pieces)) return
    for (const piece of pieces as unknown[]) {
      const index = memberOf(piece, 'index')
      const called = memberOf(piece, 'function')
      const call = this.#calls.get(index) ?? {
        id: textOf(memberOf(piece, 'id')),
        type: 'function',
        function: { name: textOf(memberOf(called, 'name')), arguments: '' },
      }
      call.function.arguments += textOf(memberOf(called, 'arguments'))
      this.#calls.set(index, call)
    }
  }

  get all(): ToolCall[] {
    return [...this.#calls.values()]
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
