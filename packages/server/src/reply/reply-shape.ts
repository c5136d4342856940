import type { ReasoningMarkers } from '@incipit/engine/api'
import type { ChannelShape } from '../channels/channel-parser.ts'
import type { Tool } from '../tools/tool.ts'
import type { ToolFormat } from '../tools/tool-format.ts'

/** What is told apart in a reply. */
export interface ReplyShape {
  /** How the model marks its reasoning, and where the prompt leaves it; undefined: it does not, or nobody wants it told apart. */
  readonly reasoning?: (ReasoningMarkers & { readonly at: 'open' | 'closed' | 'optional' }) | undefined
  /** What its content begins with, whatever the model says: a marker that stands in the prompt. */
  readonly lead?: string | undefined
  /** How it calls which tools. */
  readonly tools?: { readonly format: ToolFormat; readonly tools: readonly Tool[] } | undefined
  /** It says all of this in channels. */
  readonly channels?: ChannelShape | undefined
}
