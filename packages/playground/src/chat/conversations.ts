import type { Message, Timings, ToolCall, Usage } from '@incipit/client'
import { computed, signal } from '@preact/signals'
import { newId } from '../ui/new-id.ts'
import { read, write } from '../ui/stored.ts'
import type { ShownToken } from './reply-tokens.ts'

/** A turn as it is kept. */
export interface Turn {
  role: 'user' | 'assistant' | 'tool'
  content: string
  /** Of a reply: what the model thought before. */
  reasoning?: string
  /** Of a reply: the tools that it calls. */
  calls?: ToolCall[]
  /** Of a tool: the call that this is the result of. */
  call?: ToolCall
  /** Of a reply: why it ended. */
  ended?: string
  error?: string
  /** Milliseconds from Enter until its first word stood there for good; negative: it stood there before. */
  firstMs?: number
  timings?: Timings
  usage?: Usage
  lossy?: true
  tokens?: ShownToken[]
}

export interface Conversation {
  id: string
  title: string
  updated: number
  turns: Turn[]
}

const prefix = 'incipit.conversation.'
const index = 'incipit.conversations'

/** All conversations, the latest first. */
export const conversations = signal<Conversation[]>(load())
export const currentId = signal<string>(conversations.value[0]?.id ?? create().id)
export const current = computed(
  () => conversations.value.find(({ id }) => id === currentId.value) ?? conversations.value[0]!,
)

function load(): Conversation[] {
  const ids = read<string[]>(index) ?? []
  const found = ids.map((id) => read<Conversation>(prefix + id))
  return found.filter((conversation): conversation is Conversation => Array.isArray(conversation?.turns))
}

/** Begins a conversation, or goes to one that is still empty. */
export function create(): Conversation {
  const unused = conversations.value.find(({ turns }) => turns.length === 0)
  const fresh = unused ?? { id: newId(), title: '', updated: Date.now(), turns: [] }
  if (!unused) conversations.value = [fresh, ...conversations.value]
  return fresh
}

export function keep(id: string, part: Partial<Conversation>): void {
  const found = conversations.value.find((conversation) => conversation.id === id)
  if (!found) return
  const changed = { ...found, ...part, updated: part.turns ? Date.now() : found.updated }
  const others = conversations.value.filter((conversation) => conversation.id !== id)
  conversations.value = part.turns
    ? [changed, ...others]
    : conversations.value.map((conversation) => (conversation.id === id ? changed : conversation))
  write(prefix + id, changed)
  writeIndex()
}

/** The one that was deleted last, until the page is closed. */
export const removed = signal<Conversation | undefined>(undefined)

export function remove(id: string): void {
  removed.value = conversations.value.find((conversation) => conversation.id === id)
  conversations.value = conversations.value.filter((conversation) => conversation.id !== id)
  write(prefix + id, undefined)
  writeIndex()
  if (conversations.value.length === 0) create()
  if (currentId.value === id) currentId.value = conversations.value[0]!.id
}

/** Takes the last deletion back. */
export function restore(): void {
  const { value } = removed
  if (!value) return
  removed.value = undefined
  conversations.value = [value, ...conversations.value].sort((a, b) => b.updated - a.updated)
  currentId.value = value.id
  write(prefix + value.id, value)
  writeIndex()
}

/** What is empty is not kept. */
function writeIndex(): void {
  write(
    index,
    conversations.value.filter(({ turns }) => turns.length > 0).map(({ id }) => id),
  )
}

/** Turns as the API spells them. A call that nobody answered is left out: its result would be missing. */
export function messagesOf(turns: readonly Turn[]): Message[] {
  const answered = new Set(turns.map(({ call }) => call?.id))
  return turns.flatMap(({ role, content, calls = [], call }): Message[] => {
    if (call) return [{ role, content, tool_call_id: call.id }]
    const tool_calls = calls.filter(({ id }) => answered.has(id))
    if (tool_calls.length > 0) return [{ role, content, tool_calls }]
    return content === '' ? [] : [{ role, content }]
  })
}

/** What a conversation is called: its name, or how it begins. */
export function titleOf({ title, turns }: Conversation): string {
  return title || turns[0]?.content.replace(/\s+/g, ' ').slice(0, 60) || 'New conversation'
}

/** A conversation as a file: Markdown for people. */
export function exported(conversation: Conversation): File {
  const turns = conversation.turns.map(({ role, content, calls = [], call }) => {
    const who = call ? `Result of ${call.function.name}` : role === 'user' ? 'You' : 'Model'
    const called = calls.map(({ function: { name, arguments: json } }) => `\`${name}(${json})\``)
    return `## ${who}\n\n${[content, ...called].filter((text) => text !== '').join('\n\n')}\n`
  })
  const name =
    titleOf(conversation)
      .replace(/[^\p{L}\p{N}]+/gu, '-')
      .replace(/^-|-$/g, '') || 'conversation'
  return new File([`# ${titleOf(conversation)}\n\n${turns.join('\n')}`], `${name}.md`, { type: 'text/markdown' })
}
