import { once } from 'node:events'
import type { ReplyOutput } from './reply-output.ts'

/** `json`: one event per line, of which the last says it where the policy is `lossy`. Otherwise live text on a terminal, and committed text alone everywhere else. */
export async function replyOutput(
  stdout: NodeJS.WriteStream,
  { json, lossy }: { json: boolean; lossy: boolean },
): Promise<ReplyOutput> {
  if (json) return jsonLines(stdout, lossy)
  // TERM=dumb (an editor's shell, a log) understands no escape sequences.
  if (!stdout.isTTY || process.env.TERM === 'dumb') return committedText(stdout)
  const { liveOutput } = await import('./live-output.ts')
  return liveOutput(stdout)
}

async function jsonLines(stdout: NodeJS.WriteStream, lossy: boolean): Promise<ReplyOutput> {
  const { jsonEvent } = await import('./json-event.ts')
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

async function write(stdout: NodeJS.WriteStream, text: string): Promise<void> {
  if (!stdout.write(text)) await once(stdout, 'drain')
}
