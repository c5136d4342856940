export { ClientError } from './client-error.ts'
export { type Provisional, RevisableText } from './revisable-text.ts'
export { parseServerSentEvents } from './sse.ts'
export {
  type ChatDelta,
  type ChatDone,
  type ChatEvent,
  type ChatProvisional,
  type ChatUsage,
  type StreamChatOptions,
  streamChat,
} from './stream-chat.ts'
