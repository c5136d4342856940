export { bindInput, type InputTarget, type TextField } from './bind-input.ts'
export { ClientError } from './client-error.ts'
export { type Message, openRealtime, type Realtime, type RealtimeOptions, type RealtimeState } from './realtime.ts'
export type { RealtimeReply } from './realtime-reply.ts'
export { type Provisional, RevisableText, type RevisableValue, type TextEvent } from './revisable-text.ts'
export { parseServerSentEvents } from './sse.ts'
export {
  provisionalOf,
  type ReplyDelta,
  type ReplyDone,
  type ReplyEvent,
  type ReplyProvisional,
  type StreamOptions,
  streamChat,
  streamCompletion,
  type Timings,
  type Usage,
} from './stream.ts'
export type { ToolCall } from './tool-calls.ts'
