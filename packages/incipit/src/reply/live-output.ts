import type { WriteStream } from 'node:tty'
import { RevisableText } from '@incipit/client'
import { LiveText } from '../terminal/live-text.ts'
import type { ReplyOutput } from './reply-output.ts'

/** A terminal: what is provisional is overwritten in place. */
export function liveOutput(stdout: WriteStream, { wrap }: { wrap: boolean }): ReplyOutput {
  const text = new RevisableText()
  const live = new LiveText(stdout, { wrap })
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
