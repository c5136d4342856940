import type { GenerateRequest } from '@incipit/engine/api'
import { ServerError } from './errors.ts'
import type { ServedEngine } from './served-engine.ts'

/**
 * How many tokens the prompt of a conversation has. Text that looks like a special token counts as one here, though it has
 * no power in a prompt: such a text is a little longer than it is said to be.
 *
 * @throws IncipitError `chat_template`, ServerError `unsupported` where the engine cannot tell
 */
export async function countTokens(
  { renderChat, tokenize, info }: ServedEngine,
  { messages = [], template }: GenerateRequest,
): Promise<number> {
  if (renderChat === undefined || tokenize === undefined) {
    throw new ServerError('unsupported', 'this server cannot count tokens')
  }
  const text = await renderChat(messages, template)
  const tokens = await tokenize(text, { special: true })
  return tokens.length + (info.begin === undefined || tokens[0] === info.begin ? 0 : 1)
}
