import { useState } from 'preact/hooks'
import { CopyButton } from '../ui/copy-button.tsx'
import { ms } from '../ui/format.ts'
import { IconButton } from '../ui/icon.tsx'
import { lazy } from '../ui/lazy.tsx'
import type { Turn } from './conversations.ts'
import { Markdown } from './markdown.tsx'

const ToolCalls = lazy(async () => (await import('./tool-calls.tsx')).ToolCalls)
const TokenView = lazy(async () => (await import('./token-view.tsx')).TokenView)

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
        <CopyButton label="Copy your message" text={() => turn.content} />
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
      <Thoughts text={turn.reasoning ?? ''} />
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
          {turn.content !== '' && <CopyButton label="Copy the reply" text={() => turn.content} />}
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

/** What a model thought before it spoke: a line, and all of it for whoever wants it. */
export function Thoughts({ text }: { text: string }) {
  if (text === '') return null
  return (
    <details class="thoughts faint">
      <summary>
        Thoughts <span dir="auto">{text.replaceAll(/\s+/g, ' ').slice(-200)}</span>
      </summary>
      <p dir="auto">{text.trim()}</p>
    </details>
  )
}

/** How much of the prompt had been read at Enter: all that is behind a bar that filled while somebody typed. */
function readBefore(ready: number, all: number): [said: string, meaning: string] {
  if (ready === 0) return [`prompt of ${all} tokens`, 'None of it had been read before Enter']
  const meaning = 'Tokens of the prompt, the conversation before included, that had been read before Enter'
  return [ready >= all ? `all ${all} prompt tokens read ahead` : `${ready} of ${all} prompt tokens read ahead`, meaning]
}

/** What the reply cost and gained, in a line; each part says what it means when it is pointed at. */
function Account({ turn: { firstMs, timings, ended, lossy, usage } }: { turn: Turn }) {
  const parts: [said: string, meaning: string][] = []
  if (firstMs !== undefined) {
    const said = firstMs < 0 ? `first word ${ms(-firstMs)} before Enter` : `first word after ${ms(firstMs)}`
    parts.push([said, 'When the first word stood there that stayed, from Enter on'])
  }
  const count = timings?.predicted_n ?? 0
  const duration = timings?.predicted_ms ?? 0
  if (count > 1 && duration > 0) {
    parts.push([`${(((count - 1) * 1000) / duration).toFixed(0)} tokens/s`, 'Pace behind the first token'])
  }
  const cached = usage?.prompt_tokens_details?.cached_tokens
  if (usage && cached !== undefined) parts.push(readBefore(cached, usage.prompt_tokens))
  if (timings?.drafted_n) {
    const meaning = 'Guessed tokens that the full model confirmed, of all guessed; the others cost their computing'
    parts.push([`${timings.accepted_n} of ${timings.drafted_n} guesses right`, meaning])
  }
  if (ended === 'length') parts.push(['ended at its token limit', 'Settings have the longest reply'])
  if (ended === 'cancelled') parts.push(['stopped', 'What was said before stays in the conversation'])
  if (lossy) parts.push(['lossy policy: not all words are the full model’s', 'Settings have the policy'])
  return (
    <p class="account">
      {parts.map(([said, meaning], i) => (
        <span key={said} title={meaning}>
          {i > 0 && ' · '}
          {said}
        </span>
      ))}
    </p>
  )
}
