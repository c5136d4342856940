import type { Turn } from './conversations.ts'

/** What a tool gave back. */
export function ToolResult({ turn: { content, call } }: { turn: Turn }) {
  const name = call?.function.name
  return (
    <article class="message result-of" aria-label={`Result of ${name}`}>
      <span class="faint">{name} gave</span> <span dir="auto">{content || 'nothing'}</span>
    </article>
  )
}
