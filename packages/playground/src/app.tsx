import { signal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import { connect, engine, trouble } from './api/engine.ts'
import { models } from './api/models.ts'
import { watchSteps } from './api/steps.ts'
import { ChatPane } from './chat/chat-pane.tsx'
import { ModelChoice } from './model-choice.tsx'
import { SettingsDialog, showSettings } from './settings-dialog.tsx'
import { Announcer } from './ui/announcer.tsx'
import { IconButton } from './ui/icon.tsx'
import { lazy } from './ui/lazy.tsx'
import { storageFailure } from './ui/stored.ts'

const panes = ['chat', 'code', 'race', 'pipeline'] as const
type Pane = (typeof panes)[number]

const names: Record<Pane, string> = { chat: 'Chat', code: 'Code', race: 'Race', pipeline: 'Pipeline' }

// Editor and charts come when they are wanted.
const views: Record<Pane, ComponentType> = {
  chat: ChatPane,
  code: lazy(async () => (await import('./code/code-pane.tsx')).CodePane),
  race: lazy(async () => (await import('./race/race-pane.tsx')).RacePane),
  pipeline: lazy(async () => (await import('./pipeline/pipeline-pane.tsx')).PipelinePane),
}

function paneOfAddress(): Pane | undefined {
  const name = location.hash.slice(1).split('?')[0]
  return panes.find((pane) => pane === name)
}

/** The pane that the address names; without one, what the model can do decides. */
const chosen = signal<Pane | undefined>(paneOfAddress())
window.addEventListener('hashchange', () => {
  chosen.value = paneOfAddress()
})

export function App() {
  useEffect(() => {
    void connect()
    watchSteps()
  }, [])
  const pane = chosen.value ?? (engine.value?.has_chat_template === false ? 'code' : 'chat')
  const View = views[pane]
  return (
    <>
      <header class="top">
        <h1>
          <a href="#chat">incipit</a>
        </h1>
        <nav aria-label="Panes">
          {panes.map((name) => (
            <a key={name} href={`#${name}`} aria-current={name === pane ? 'page' : undefined}>
              {names[name]}
            </a>
          ))}
        </nav>
        <Model />
        <IconButton icon="settings" label="Settings" onClick={() => void showSettings()} />
      </header>
      <Trouble />
      <main class={`pane ${pane}-pane`}>
        <View key={pane} />
      </main>
      <SettingsDialog />
      <Announcer />
    </>
  )
}

function Model() {
  const { value } = engine
  const state = trouble.value ? 'off' : value ? 'on' : 'unknown'
  return (
    <p
      class="model"
      title={value ? `${value.model}: ${value.description}, context ${value.context_length} tokens` : ''}
    >
      <span class={`light ${state}`} aria-hidden="true" />
      {models.value.length > 1 ? <ModelChoice label="Model" /> : (value?.model ?? 'no model yet')}
      {trouble.value && value && <span class="unseen">, not reachable</span>}
    </p>
  )
}

const advice: Record<string, string> = {
  invalid_api_key: 'This server wants its API key: enter it in the settings.',
  loading: 'The model is loading. This page goes on by itself.',
  engine_died: 'The engine is being started again. This page goes on by itself.',
  unreachable: 'The server cannot be reached. This page tries again every second; what you type is kept.',
}

function Trouble() {
  const storage = storageFailure.value
  const { value } = trouble
  if (!value && storage === undefined) return null
  return (
    <p class="trouble" role="status">
      {value ? (advice[value.code] ?? value.message) : storage}{' '}
      {value?.code === 'invalid_api_key' && (
        <button type="button" class="quiet" onClick={() => void showSettings()}>
          Settings
        </button>
      )}
    </p>
  )
}
