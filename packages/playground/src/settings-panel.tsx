import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { connect, engine } from './api/engine.ts'
import { models } from './api/models.ts'
import { exampleSchema, exampleTools } from './chat/form-examples.ts'
import { parseSchema, parseTools } from './chat/reply-form.ts'
import { ModelChoice } from './model-choice.tsx'
import { change, defaults, policies, type Settings, settings, speculations, themes, toolChoices } from './settings.ts'
import { IconButton } from './ui/icon.tsx'
import { JsonField } from './ui/json-field.tsx'

const lossy = 'Lossy: the text may differ from what the model itself would say.'
const aboutPolicy: Record<Settings['policy'], string> = {
  committed: 'Only words that are final are shown.',
  provisional: 'Guesses are shown in grey until the model has decided. The text is always the model’s own.',
  tolerant: `A shown word stays if the model holds it likely enough. ${lossy}`,
  confident: `Words of an early exit are final when it is sure enough. ${lossy} Needs a model with an exit.`,
}
const aboutSpeculation: Record<Settings['speculate'], string> = {
  off: 'Nothing happens before Enter.',
  prefill: 'What you type is read while you type.',
  reply: 'In a pause the reply is begun as well.',
}

const aboutToolChoice: Record<Settings['toolChoice'], string> = {
  auto: 'When it wants to. You are asked for the result.',
  required: 'In every reply to a message of yours. You are asked for the result.',
}

/** Everything that can be set. It is kept in the browser and applies from the next reply on. */
export function SettingsPanel() {
  const s = settings.value
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      id="settings"
      ref={dialog}
      aria-labelledby="settings-title"
      onClick={(event) => {
        if (event.target === event.currentTarget) dialog.current?.close()
      }}
    >
      <form method="dialog">
        <header>
          <h2 id="settings-title">Settings</h2>
          <IconButton icon="close" label="Close" onClick={() => dialog.current?.close()} />
        </header>
        <label class="wide">
          System prompt
          <textarea
            rows={3}
            dir="auto"
            value={s.system}
            placeholder="None"
            onChange={(event) => change({ system: event.currentTarget.value })}
          />
        </label>
        <fieldset>
          <legend>When</legend>
          <Choice name="speculate" label="While you type" options={speculations} note={aboutSpeculation[s.speculate]} />
          <Choice name="policy" label="Shown" options={policies} note={aboutPolicy[s.policy]} />
          {s.policy === 'tolerant' && <NumberField name="alpha" label="Alpha" min={0} max={1} step={0.05} />}
          <NumberField name="minStability" label="Shown from a stability of" min={0} max={1} step={0.05} />
          <label>
            Tier
            <select value={s.tier} onChange={(event) => change({ tier: event.currentTarget.value })}>
              {(engine.value?.tiers ?? [{ name: s.tier, ttft_ms: 500, itl_ms: null }]).map(({ name, ttft_ms }) => (
                <option key={name} value={name}>
                  {name} ({ttft_ms >= 1000 ? `${ttft_ms / 1000} s` : `${ttft_ms} ms`})
                </option>
              ))}
            </select>
          </label>
        </fieldset>
        <fieldset>
          <legend>What</legend>
          {models.value.length > 1 && (
            <div class="labelled wide">
              Model
              <ModelChoice label="Model that answers" />
            </div>
          )}
          <NumberField name="temperature" label="Temperature" min={0} max={2} step={0.1} />
          <NumberField name="topP" label="Top p" min={0} max={1} step={0.05} />
          <NumberField name="topK" label="Top k" min={0} max={1000} step={1} />
          <NumberField name="minP" label="Min p" min={0} max={1} step={0.01} />
          <NumberField name="maxTokens" label="Longest reply, in tokens" min={1} max={100_000} step={1} />
          <label>
            Seed
            <input
              inputMode="numeric"
              placeholder="another for every reply"
              value={s.seed}
              onChange={(event) => change({ seed: event.currentTarget.value.trim() })}
            />
          </label>
        </fieldset>
        <fieldset>
          <legend>Form</legend>
          <JsonField
            label="JSON schema of replies"
            value={s.schema}
            example={exampleSchema}
            check={parseSchema}
            onChange={(schema) => change({ schema })}
          />
          <JsonField
            label="Tools that the model may call"
            value={s.tools}
            example={exampleTools}
            check={parseTools}
            onChange={(tools) => change({ tools })}
          />
          {s.tools !== '' && (
            <Choice name="toolChoice" label="It calls one" options={toolChoices} note={aboutToolChoice[s.toolChoice]} />
          )}
        </fieldset>
        <fieldset>
          <legend>Here</legend>
          <Choice name="theme" label="Colours" options={themes} />
          <label>
            API key
            <input
              type="password"
              autocomplete="off"
              value={s.apiKey}
              onChange={(event) => {
                change({ apiKey: event.currentTarget.value.trim() })
                void connect()
              }}
            />
          </label>
        </fieldset>
        <footer>
          <button
            type="button"
            class="quiet"
            onClick={() => change({ ...defaults, apiKey: s.apiKey, model: s.model, theme: s.theme })}
          >
            Back to the defaults
          </button>
          <button type="submit" class="primary">
            Done
          </button>
        </footer>
      </form>
    </dialog>
  )
}

type NameOf<T> = { [K in keyof Settings]: Settings[K] extends T ? K : never }[keyof Settings]

function NumberField(props: { name: NameOf<number>; label: string; min: number; max: number; step: number }) {
  const { name, label, ...bounds } = props
  return (
    <label>
      {label}
      <input
        type="number"
        {...bounds}
        value={settings.value[name]}
        onChange={(event) => {
          const { valueAsNumber, validity } = event.currentTarget
          if (validity.valid && Number.isFinite(valueAsNumber)) change({ [name]: valueAsNumber })
          else event.currentTarget.value = String(settings.value[name])
        }}
      />
    </label>
  )
}

function Choice<K extends 'speculate' | 'policy' | 'theme' | 'toolChoice'>(props: {
  name: K
  label: string
  options: readonly Settings[K][]
  note?: string
}) {
  const { name, label, options, note } = props
  return (
    <label>
      {label}
      <select
        value={settings.value[name]}
        onChange={(event) => change({ [name]: event.currentTarget.value } as Partial<Settings>)}
      >
        {options.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
      {note !== undefined && <Note>{note}</Note>}
    </label>
  )
}

function Note({ children }: { children: ComponentChildren }) {
  return <small class="faint">{children}</small>
}
