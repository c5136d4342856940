import { bindInput } from '@incipit/client'
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { trouble } from '../api/engine.ts'
import { change, settings } from '../settings.ts'
import { Icon, IconButton } from '../ui/icon.tsx'
import type { ChatSession } from './chat-session.ts'
import { tools } from './reply-form.ts'

interface Attachment {
  name: string
  text: string
}

/** Larger files are more than any context here holds. */
const largestFile = 1024 * 1024

const attachments = signal<Attachment[]>([])
const refused = signal('')

/** Files stand before what is typed, so that they are read meanwhile. */
function before(files: readonly Attachment[]): string {
  return files.map(({ name, text }) => `${name}:\n\`\`\`\n${text.replace(/\n$/, '')}\n\`\`\`\n\n`).join('')
}

export function Composer({ session, onSend }: { session: ChatSession; onSend: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  const running = session.reply.value !== undefined
  const files = attachments.value

  const send = () => {
    if (!session.isReady || session.text.trim() === '') return
    void session.send()
    attachments.value = []
    if (field.current) field.current.value = ''
    grow()
    onSend()
  }
  const grow = () => {
    const area = field.current
    if (!area) return
    area.style.height = 'auto'
    area.style.height = `${Math.min(area.scrollHeight, window.innerHeight * 0.4)}px`
  }

  useEffect(() => {
    const head = before(attachments.peek())
    const typed = {
      get text() {
        return session.text.slice(head.length)
      },
      replace: (base: number, text: string) => session.replace(head.length + base, text),
    }
    // Another conversation's session, or other files: the text goes there as it stands here.
    const value = field.current?.value ?? ''
    if (!session.text.startsWith(head) || files.length > 0 || value !== '') session.replace(0, head)
    const release = bindInput(field.current!, typed, send)
    grow()
    return release
  }, [session, files])

  const take = async (list: FileList | null) => {
    refused.value = ''
    for (const file of list ?? []) {
      const text = file.size > largestFile ? undefined : await file.text()
      // A byte that no text has.
      if (text === undefined || text.includes('\0')) {
        refused.value = `${file.name} is ${text === undefined ? 'larger than 1 MB' : 'not a text file'}.`
      } else
        attachments.value = [...attachments.value.filter(({ name }) => name !== file.name), { name: file.name, text }]
    }
    field.current?.focus()
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        if (!event.dataTransfer?.files.length) return
        event.preventDefault()
        void take(event.dataTransfer.files)
      }}
    >
      <ul class="enclosed">
        {files.map(({ name, text }) => (
          <Enclosed
            key={name}
            name={name}
            about={`${text.length.toLocaleString('en')} characters`}
            onRemove={() => {
              attachments.value = files.filter((file) => file.name !== name)
            }}
          />
        ))}
        {settings.value.schema !== '' && (
          <Enclosed name="JSON schema" about="of every reply" onRemove={() => change({ schema: '' })} />
        )}
        {tools.value.length > 0 && (
          <Enclosed
            name={tools.value.length === 1 ? 'Tool' : 'Tools'}
            about={tools.value.map((tool) => tool.name).join(', ')}
            onRemove={() => change({ tools: '' })}
          />
        )}
      </ul>
      <ReadBar session={session} />
      <div class="field">
        <IconButton icon="attach" label="Attach text files" onClick={() => picker.current?.click()} />
        <input ref={picker} type="file" multiple hidden onChange={(event) => void take(event.currentTarget.files)} />
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          placeholder="Ask something"
          aria-label="Message"
          aria-describedby="read"
          onInput={grow}
        />
        {running ? (
          <IconButton icon="stop" label="Stop the reply" kind="primary" onClick={() => session.stop()} />
        ) : (
          <button
            type="submit"
            class="icon-button primary"
            aria-label="Send"
            title="Send (Enter)"
            disabled={!session.hasText.value}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
      {refused.value !== '' && (
        <p class="problem" role="alert">
          {refused}
        </p>
      )}
    </form>
  )
}

/** Something that goes with the message. */
function Enclosed({ name, about, onRemove }: { name: string; about: string; onRemove: () => void }) {
  return (
    <li>
      {name} <span class="faint">{about}</span>
      <IconButton icon="close" label={`Remove ${name}`} onClick={onRemove} />
    </li>
  )
}

/** How much of the message the model has read. */
function ReadBar({ session }: { session: ChatSession }) {
  const bar = useRef<HTMLDivElement>(null)
  const { share, words, isProblem } = readState(session)
  useEffect(() => {
    bar.current?.style.setProperty('--share', String(share))
  }, [share])
  return (
    <div class="read">
      <div class="read-bar" ref={bar} aria-hidden="true" />
      <p id="read" class={isProblem ? 'problem' : 'faint'}>
        {words}
      </p>
    </div>
  )
}

function readState(session: ChatSession): { share: number; words: string; isProblem?: boolean } {
  const { tokens, computed } = session.progress.value
  const error = session.error.value
  if (session.status.value === 'connecting') {
    return {
      share: 0,
      words: `${error?.message ?? trouble.value?.message ?? 'waiting for the model'} — what you type is kept`,
      isProblem: !!error,
    }
  }
  if (error) return { share: 0, words: error.message, isProblem: true }
  if (!session.hasText.value) return { share: 0, words: '' }
  if (tokens === 0) return { share: 0, words: '' }
  const share = computed / tokens
  return { share, words: share >= 1 ? `${tokens} tokens, all read` : `${computed} of ${tokens} tokens read` }
}
