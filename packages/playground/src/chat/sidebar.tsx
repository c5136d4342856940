import { useState } from 'preact/hooks'
import { IconButton } from '../ui/icon.tsx'
import {
  type Conversation,
  conversations,
  create,
  current,
  currentId,
  exported,
  keep,
  remove,
  removed,
  restore,
  titleOf,
} from './conversations.ts'

/** The conversations that this browser keeps. */
export function Sidebar({ onChoose }: { onChoose: () => void }) {
  return (
    <nav class="sidebar" aria-label="Conversations">
      <button
        type="button"
        class="new"
        aria-current={current.value.turns.length === 0 ? 'page' : undefined}
        onClick={() => {
          currentId.value = create().id
          onChoose()
        }}
      >
        New conversation
      </button>
      <ul>
        {conversations.value
          .filter(({ turns }) => turns.length > 0)
          .map((conversation) => (
            <Entry key={conversation.id} conversation={conversation} onChoose={onChoose} />
          ))}
      </ul>
      {removed.value && (
        <p class="removed" role="status">
          <span class="faint" dir="auto">
            Deleted: {titleOf(removed.value)}
          </span>
          <button type="button" class="quiet" onClick={restore}>
            Undo
          </button>
        </p>
      )}
      <p class="faint">Kept in this browser only.</p>
    </nav>
  )
}

function Entry({ conversation, onChoose }: { conversation: Conversation; onChoose: () => void }) {
  const { id } = conversation
  const [renaming, setRenaming] = useState(false)
  const here = id === currentId.value
  if (renaming) {
    const done = (title: string) => {
      keep(id, { title: title.trim() })
      setRenaming(false)
    }
    return (
      <li>
        <input
          aria-label="Name of the conversation"
          value={titleOf(conversation)}
          ref={(field) => field?.focus()}
          onBlur={(event) => done(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') done(event.currentTarget.value)
            if (event.key === 'Escape') setRenaming(false)
          }}
        />
      </li>
    )
  }
  return (
    <li class={here ? 'here' : ''}>
      <button
        type="button"
        class="title"
        dir="auto"
        aria-current={here ? 'page' : undefined}
        onClick={() => {
          currentId.value = id
          onChoose()
        }}
      >
        {titleOf(conversation)}
      </button>
      {here && (
        <span class="actions">
          <IconButton icon="edit" label="Rename" onClick={() => setRenaming(true)} />
          <IconButton icon="export" label="Export" onClick={() => download(exported(conversation))} />
          <IconButton icon="delete" label="Delete" onClick={() => remove(id)} />
        </span>
      )}
    </li>
  )
}

export function download(file: File): void {
  const url = URL.createObjectURL(file)
  const link = document.createElement('a')
  link.href = url
  link.download = file.name
  link.click()
  URL.revokeObjectURL(url)
}
