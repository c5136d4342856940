import { computed } from '@preact/signals'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { engine } from '../api/engine.ts'
import { IconButton } from '../ui/icon.tsx'
import { type ChatSession, sessionOf } from './chat-session.ts'
import { Composer } from './composer.tsx'
import { conversations, current, currentId } from './conversations.ts'
import { Markdown } from './markdown.tsx'
import { ReplyMessage, Thoughts, UserMessage } from './message.tsx'
import { Sidebar } from './sidebar.tsx'
import { ToolResult } from './tool-result.tsx'

const active = computed(() => {
  const id = currentId.value
  const conversation = conversations.peek().find((conversation) => conversation.id === id) ?? current.peek()
  return sessionOf(conversation)
})

export function ChatPane() {
  const [listed, setListed] = useState(false)
  if (engine.value?.has_chat_template === false) return <NoTemplate />
  return (
    <div class={`chat ${listed ? 'listed' : ''}`}>
      <Sidebar onChoose={() => setListed(false)} />
      <div class="list-button">
        <IconButton icon="menu" label="Conversations" pressed={listed} onClick={() => setListed(!listed)} />
      </div>
      <Conversation session={active.value} />
    </div>
  )
}

function NoTemplate() {
  return (
    <div class="empty">
      <h2>This model does not chat</h2>
      <p>{engine.value?.model} carries no chat template. It completes text: open Code.</p>
    </div>
  )
}

function Conversation({ session }: { session: ChatSession }) {
  const { turns } = current.value
  const scroller = useRef<HTMLDivElement>(null)
  const follows = useRef(true)
  const scrolled = useRef(0)
  const running = session.reply.value !== undefined
  const says = turns.length > 0 || running || session.preview.value.provisional !== ''

  const toEnd = () => {
    const area = scroller.current
    // A welcome is read from its beginning.
    if (area && follows.current && says) area.scrollTop = area.scrollHeight
  }
  /** Whoever asks for a reply wants to see it. */
  const asks = (ask: Promise<void>) => {
    follows.current = true
    void ask
  }
  useLayoutEffect(toEnd)
  useLayoutEffect(() => {
    follows.current = true
    toEnd()
  }, [session])

  return (
    <div class="conversation">
      <div
        class="thread"
        ref={scroller}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget
          // What grows below scrolls nothing: only whoever goes up does not follow.
          if (scrollHeight - scrollTop - clientHeight < 40) follows.current = true
          else if (scrollTop < scrolled.current) follows.current = false
          scrolled.current = scrollTop
        }}
      >
        <div class="column">
          {turns.length === 0 && <Welcome session={session} />}
          {turns.map((turn, i) => {
            if (turn.role === 'tool') return <ToolResult key={i} turn={turn} />
            if (turn.role === 'user') {
              return (
                <UserMessage
                  key={i}
                  turn={turn}
                  disabled={running}
                  onResend={(text) => asks(session.resend(i, text))}
                />
              )
            }
            const isLast = i === turns.length - 1 && !running
            return (
              <ReplyMessage
                key={i}
                turn={turn}
                onAgain={isLast ? () => asks(session.again(i)) : undefined}
                onResults={isLast ? (results) => asks(session.giveResults(i, results)) : undefined}
              />
            )
          })}
          <Coming session={session} onChange={toEnd} />
        </div>
      </div>
      <Composer
        session={session}
        onSend={() => {
          follows.current = true
        }}
      />
    </div>
  )
}

/**
 * The reply that is made, or the one that would be if the message stayed as it is. It is never less high than it was: what
 * is taken back leaves its room to what comes, and nothing jumps.
 */
function Coming({ session, onChange }: { session: ChatSession; onChange: () => void }) {
  const reply = session.reply.value
  const preview = session.preview.value
  const room = useRef<HTMLElement>(null)
  const height = useRef(0)
  const value = reply ?? preview
  const empty = value.committed + value.provisional === ''
  const key = reply ? 'reply' : 'preview'

  useLayoutEffect(() => {
    const box = room.current
    if (!box) return
    height.current = Math.max(height.current, heightOf(box))
    box.style.minHeight = `${height.current}px`
    onChange()
  }, [value])
  // When a reply is over its room is given up, and the next turn begins without.
  const phase = `${session.id} ${current.value.turns.length} ${key}`
  const former = useRef(phase)
  if (former.current !== phase) {
    former.current = phase
    if (!reply) height.current = 0
  }

  if (!reply && empty && height.current === 0) return null
  return (
    <article
      class={`message reply coming ${key}`}
      ref={room}
      aria-label={reply ? 'Reply' : undefined}
      aria-hidden={!reply}
    >
      {reply && <Thoughts text={session.reasoning.value} />}
      <div dir="auto">
        {empty && reply ? (
          <p class="waiting faint">{session.reasoning.value === '' ? 'reading' : 'thinking'}</p>
        ) : (
          <Markdown {...value} />
        )}
      </div>
      {!reply && !empty && <p class="note faint">if you stop here</p>}
    </article>
  )
}

/** How far what is said reaches down a box, whatever height that has itself. */
function heightOf(box: Element): number {
  const said = box.querySelector(':scope > div')
  return said ? said.getBoundingClientRect().bottom - box.getBoundingClientRect().top : 0
}

const questions = [
  'Why is the sky blue?',
  'Explain recursion to a six-year-old.',
  'Write a haiku about the first word of a book.',
  'What should I look at first when a server is slow?',
]

function Welcome({ session }: { session: ChatSession }) {
  return (
    <div class="welcome">
      <h2>
        <i>incipit</i>, the opening words of a text
      </h2>
      <p>
        The model reads while you type, and when you pause it begins to answer. What it says then is{' '}
        <span class="provisional">grey</span>: it may be taken back. <b>Ink</b> stays: it is what the model says, and no
        guess changes that. The thin bar above the field says how much of your message has been read, and the line under
        each reply what was gained.
      </p>
      <ul>
        {questions.map((question) => (
          <li key={question}>
            <button
              type="button"
              class="quiet"
              onClick={() => {
                const field = document.querySelector<HTMLTextAreaElement>('.composer textarea')
                if (!field || session.running) return
                field.value = question
                field.dispatchEvent(new Event('input', { bubbles: true }))
                field.focus()
              }}
            >
              {question}
            </button>
          </li>
        ))}
      </ul>
    </div>
  )
}
