import { once } from 'node:events'
import type { WriteStream } from 'node:tty'
import { RevisableText } from '@incipit/client'
import type { GenerateEvent } from '@incipit/engine/api'
import { LiveText } from '../terminal/live-text.ts'
import { jsonEvent } from './json-event.ts'

/** Where the events of a reply go. */
export interface ReplyOutput {
  /** Resolves when the reader has room for more. */
  event(event: GenerateEvent): Promise<void>
  /** Leaves the terminal as it was found; may be called at any time and more than once. */
  close(): void
  /** Whether the next output on the same terminal would begin in the middle of a line. */
  midLine(): boolean
}

/** `json`: one event per line, of which the last says it where the policy is `lossy`. Otherwise live text on a terminal, and committed text alone everywhere else. */
export function replyOutput(
  stdout: NodeJS.WriteStream,
  { json, lossy }: { json: boolean; lossy: boolean },
): ReplyOutput {
  if (json) return jsonLines(stdout, lossy)
  // TERM=dumb (an editor's shell, a log) understands no escape sequences.
  return stdout.isTTY && process.env.TERM !== 'dumb' ? liveTerminal(stdout) : committedText(stdout)
}

function jsonLines(stdout: NodeJS.WriteStream, lossy: boolean): ReplyOutput {
  return {
    event: (event) => write(stdout, `${JSON.stringify(jsonEvent(event, lossy))}\n`),
    close() {},
    midLine: () => false,
  }
}

function committedText(stdout: NodeJS.WriteStream): ReplyOutput {
  let last = '\n'
  return {
    async event(event) {
      if (event.type !== 'delta') return
      last = event.text
      await write(stdout, event.text)
    },
    close() {},
    midLine: () => !last.endsWith('\n'),
  }
}

function liveTerminal(stdout: WriteStream): ReplyOutput {
  const text = new RevisableText()
  const live = new LiveText(stdout)
  const resize = () => live.resize()
  stdout.on('resize', resize)
  return {
    async event(event) {
      if (event.type === 'delta') {
        text.commit(event.text)
        live.update(event.text, text.provisional)
      } else if (event.type === 'provisional') {
        text.revise(event)
        live.update('', text.provisional)
      }
    },
    close() {
      stdout.off('resize', resize)
      live.finish()
    },
    midLine: () => false,
  }
}

async function write(stdout: NodeJS.WriteStream, text: string): Promise<void> {
  if (!stdout.write(text)) await once(stdout, 'drain')
}
