import { text } from 'node:stream/consumers'
import type { ChatMessage, GenerateRequest } from '@incipit/engine/api'
import { UsageError } from '../failure.ts'

/**
 * The prompt of a command: its argument, or standard input when the argument is `-` or absent and input is piped. One
 * newline at the end of piped input belongs to the pipe (`echo`), not to the prompt.
 * @throws UsageError when there is none
 */
export async function readPrompt(argument: string | undefined, stdin: NodeJS.ReadStream): Promise<string> {
  if (argument !== undefined && argument !== '-') {
    if (argument === '') throw new UsageError('the prompt is empty')
    return argument
  }
  if (argument === undefined && stdin.isTTY) {
    throw new UsageError('a prompt is needed: incipit run "..." or through a pipe; see incipit run --help')
  }
  const prompt = (await text(stdin)).replace(/\r?\n$/, '')
  if (prompt === '') throw new UsageError('a prompt is needed, and standard input is empty')
  return prompt
}

/** What the prompt becomes in the request: a conversation for the chat template, or raw text. */
export function promptOf(
  prompt: string,
  { raw, system }: { raw: boolean; system?: string | undefined },
): Pick<GenerateRequest, 'prompt' | 'messages'> {
  if (raw) return { prompt: system === undefined ? prompt : `${system}\n\n${prompt}` }
  const user: ChatMessage = { role: 'user', content: prompt }
  return { messages: system === undefined ? [user] : [{ role: 'system', content: system }, user] }
}
