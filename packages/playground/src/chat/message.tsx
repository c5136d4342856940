import { useState } from 'preact/hooks'
import { ms } from '../ui/format.ts'
import { IconButton } from '../ui/icon.tsx'
import type { Turn } from './conversations.ts'
import { Markdown } from './markdown.tsx'
import { TokenView } from './token-view.tsx'
import { ToolCalls } from './tool-calls.tsx'

export function UserMessage(props: { turn: Turn; disabled: boolean; onResend: (text: string) => void }) {
  const { turn, disabled, onResend } = props
  const [editing, setEditing] = useState(false)
  const [text, setText] = useState(turn.content)
  if (editing) {
    const send = () => {
      setEditing(false)
      onResend(text)
    }
    return (
      <article class="message user editing">
        <textarea
          dir="auto"
          aria-label="Your message"
          value={text}
          rows={Math.min(12, text.split('\n').length + 1)}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') setEditing(false)
            if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
              event.preventDefault()
              send()
            }
          }}
          ref={(field) => field?.focus()}
        />
        <div class="actions">
          <button type="button" class="quiet" onClick={() => setEditing(false)}>
            Cancel
          </button>
          <button type="button" class="primary" disabled={disabled || text.trim() === ''} onClick={send}>
            Send
          </button>
        </div>
      </article>
    )
  }
  return (
    <article class="message user" aria-label="You">
      <div class="bubble" dir="auto">
        {turn.content}
      </div>
      <div class="actions hidden-until-hover">
        <IconButton icon="copy" label="Copy your message" onClick={() => copy(turn.content)} />
        <IconButton
          icon="edit"
          label="Edit and send again"
          disabled={disabled}
          onClick={() => {
            setText(turn.content)
            setEditing(true)
          }}
        />
      </div>
    </article>
  )
}

export function ReplyMessage(props: {
  turn: Turn
  onAgain: (() => void) | undefined
  /** Gives the results of the tools that it calls. */
  onResults: ((results: readonly string[]) => void) | undefined
}) {
  const { turn, onAgain, onResults } = props
  const [showsTokens, showTokens] = useState(false)
  return (
    <article class="message reply" aria-label="Reply">
      <div dir="auto">
        <Markdown committed={turn.content} provisional="" />
      </div>
      {turn.calls && <ToolCalls calls={turn.calls} onResults={onResults} />}
      {turn.error !== undefined && (
        <p class="problem" role="alert">
          {turn.error}
        </p>
      )}
      <footer>
        <Account turn={turn} />
        <div class="actions">
          <IconButton icon="copy" label="Copy the reply" onClick={() => copy(turn.content)} />
          {onAgain && <IconButton icon="again" label="Answer again" onClick={onAgain} />}
          {turn.tokens && (
            <IconButton icon="tokens" label="Tokens" pressed={showsTokens} onClick={() => showTokens(!showsTokens)} />
          )}
        </div>
      </footer>
      {showsTokens && turn.tokens && <TokenView tokens={turn.tokens} />}
    </article>
  )
}

/** What the reply cost and gained, in a line. */
function Account({ turn: { firstMs, timings, ended, lossy, usage } }: { turn: Turn }) {
  const parts: string[] = []
  if (firstMs !== undefined) {
    parts.push(firstMs < 0 ? `first word ${ms(-firstMs)} before Enter` : `first word after ${ms(firstMs)}`)
  }
  const count = timings?.predicted_n ?? 0
  const duration = timings?.predicted_ms ?? 0
  if (count > 1 && duration > 0) parts.push(`${(((count - 1) * 1000) / duration).toFixed(0)} tokens/s`)
  const cached = usage?.prompt_tokens_details?.cached_tokens
  if (usage && cached !== undefined) parts.push(`${cached}/${usage.prompt_tokens} prompt tokens ready`)
  if (timings?.drafted_n) parts.push(`${timings.accepted_n}/${timings.drafted_n} guesses right`)
  if (ended === 'length') parts.push('ended at its token limit')
  if (ended === 'cancelled') parts.push('stopped')
  if (lossy) parts.push('lossy policy: not all words are the full model’s')
  return <p class="account">{parts.join(' · ')}</p>
}

function copy(text: string): void {
  void navigator.clipboard.writeText(text)
}
