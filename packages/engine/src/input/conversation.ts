import type { ChatMessage } from '../api/request.ts'
import type { ReplySink } from '../serving/reply-stream.ts'

/** The messages before the open one. */
export class Conversation {
  #messages: ChatMessage[]

  constructor(messages: readonly ChatMessage[]) {
    this.#messages = [...messages]
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  replace(messages: readonly ChatMessage[]): void {
    this.#messages = [...messages]
  }

  add(message: ChatMessage): void {
    this.#messages.push(message)
  }

  /**
   * Passes the events of a reply on and puts the reply into the conversation when it is done. Messages that are added
   * while it is made come after it.
   * @param joins asked when it is done: whether it is to be put there
   * @param onJoined it was put there
   */
  joining(sink: ReplySink, joins: () => boolean, onJoined: () => void): ReplySink {
    let reply = ''
    const place = this.#messages.length
    return {
      push: (event, tokens) => {
        if (event.type === 'delta') reply += event.text
        if (event.type === 'done' && event.finishReason !== 'cancelled' && joins()) {
          this.#messages.splice(place, 0, { role: 'assistant', content: reply })
          onJoined()
        }
        sink.push(event, tokens)
      },
      close: (error) => sink.close(error),
    }
  }
}
