import { once } from 'node:events'
import type { ReplyOutput } from './reply-output.ts'

/** What is known of a reply before its first word. */
export interface ReplyKind {
  /** The last event in JSON says what the policy changed. */
  lossy: boolean
  /** It is prose: on a terminal its lines break between words. */
  wrap: boolean
}

/** `json`: one event per line. Otherwise live text on a terminal, and committed text alone everywhere else. */
export async function replyOutputs(
  stdout: NodeJS.WriteStream,
  { json }: { json: boolean },
): Promise<(reply: ReplyKind) => ReplyOutput> {
  if (json) {
    const { jsonEvent } = await import('./json-event.ts')
    return ({ lossy }) => ({
      event: (event) => write(stdout, `${JSON.stringify(jsonEvent(event, lossy))}\n`),
      close() {},
      midLine: () => false,
    })
  }
  // TERM=dumb (an editor's shell, a log) understands no escape sequences.
  if (!stdout.isTTY || process.env.TERM === 'dumb') return () => committedText(stdout)
  const { liveOutput } = await import('./live-output.ts')
  return ({ wrap }) => liveOutput(stdout, { wrap })
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
