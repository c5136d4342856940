import { openRealtime } from '@incipit/client'
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { engine } from '../api/engine.ts'
import { withModel } from '../api/models.ts'
import { apiKey, chosenModel } from '../settings.ts'
import { read, stored, write } from '../ui/stored.ts'
import { createEditor } from './editor.ts'
import { suggest, suggests, takeSuggestion } from './ghost.ts'
import { languageNames } from './languages.ts'

const samples: Record<string, string> = {
  typescript: `/** Reads lines from a stream until it ends. */
export async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    const text = rest + decoder.decode(chunk, { stream: true })
    const lines = text.split('\\n')
    rest = lines.pop() ?? ''
    for (const line of `,
  python: `def read_lines(path):
    """Return the lines of a file without their ends."""
    with open(path) as `,
  javascript: `export function debounce(callback, wait) {
  let timer
  return (...args) => {
    clearTimeout(`,
}

const kept = stored('incipit.code', { language: 'typescript' })
const docName = 'incipit.code.text'
const progress = signal({ tokens: 0, computed: 0 })
const status = signal('connecting')
const problem = signal('')
/** From the last key to its suggestion, in milliseconds; 0: what was suggested before goes on. */
const ghostMs = signal<number | undefined>(undefined)

/** The text before the cursor that the model is given, in characters: so much, or half of it when it grew longer. */
const mostBefore = 6000

/** Code is completed while it is typed: the model reads along, and says after each key how it would go on. */
export function CodePane() {
  const host = useRef<HTMLDivElement>(null)
  const editor = useRef<ReturnType<typeof createEditor>>(undefined)
  const key = apiKey.value

  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: 'open' })
    const { language } = kept.peek()
    const session = openRealtime(withModel('/v1/realtime'), {
      session: {
        raw: true,
        temperature: 0,
        speculate: 'reply',
        // A suggestion for every key, not only in pauses.
        pause_ms: 0,
        provisional: true,
        max_output_tokens: 48,
        tier: 'code',
      },
      ...(key !== '' && { apiKey: key }),
    })
    let start = 0
    let keyAt: number | undefined
    const follow = (before: string) => {
      if (start > before.length || before.length - start > mostBefore) {
        // From the beginning of a line, and rarely another one: what is the same stays computed.
        start = Math.max(0, before.lastIndexOf('\n', before.length - mostBefore / 2) + 1)
      }
      session.revise(before.slice(start))
      write(docName, created.view.state.doc.toString())
    }
    const onChange = (before: string) => {
      const kept = suggests(created.view.state)
      keyAt = kept ? undefined : performance.now()
      if (kept) ghostMs.value = 0
      follow(before)
    }
    const created = createEditor(root, read<string>(docName) ?? samples[language] ?? '', language, onChange)
    editor.current = created
    follow(created.before())
    const stopPreview = session.preview.subscribe(({ provisional }) => {
      created.view.dispatch({ effects: suggest.of(provisional) })
      const at = keyAt
      if (at === undefined || !suggests(created.view.state)) return
      keyAt = undefined
      // It is seen with the next frame.
      requestAnimationFrame(() => {
        ghostMs.value = performance.now() - at
      })
    })
    const stopState = session.subscribe((state) => {
      progress.value = state.progress
      status.value = state.status
      problem.value = state.error?.message ?? ''
    })
    created.view.focus()
    return () => {
      stopPreview()
      stopState()
      session.close()
      created.view.destroy()
    }
  }, [key, chosenModel.value])

  const { tokens, computed } = progress.value
  return (
    <div class="code">
      <div class="toolbar">
        <label>
          Language{' '}
          <select
            value={kept.value.language}
            onChange={(event) => {
              const language = event.currentTarget.value
              kept.value = { language }
              void editor.current?.setLanguage(language)
            }}
          >
            {[...languageNames, 'text'].map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            const view = editor.current?.view
            const sample = samples[kept.value.language] ?? ''
            view?.dispatch({
              changes: { from: 0, to: view.state.doc.length, insert: sample },
              selection: { anchor: sample.length },
            })
            view?.focus()
          }}
        >
          Start from an example
        </button>
        <button
          type="button"
          class="quiet touch"
          onClick={() => {
            const view = editor.current?.view
            if (!view) return
            takeSuggestion(view)
            view.focus()
          }}
        >
          Take the grey text
        </button>
        <p class="faint keys" id="code-keys">
          <kbd>Tab</kbd> takes the grey text, <kbd>Ctrl →</kbd> a word of it, <kbd>Esc</kbd> none. <kbd>Ctrl M</kbd>{' '}
          lets <kbd>Tab</kbd> leave the editor.
        </p>
      </div>
      <div class="editor" ref={host} />
      <CodeStatus tokens={tokens} computed={computed} />
    </div>
  )
}

function CodeStatus({ tokens, computed }: { tokens: number; computed: number }) {
  const bar = useRef<HTMLDivElement>(null)
  useEffect(() => {
    bar.current?.style.setProperty('--share', String(tokens === 0 ? 0 : computed / tokens))
  }, [tokens, computed])
  const parts = [status.value === 'connecting' ? 'waiting for the model' : (engine.value?.model ?? '')]
  if (tokens > 0) parts.push(`${computed} of ${tokens} tokens read`)
  if (ghostMs.value === 0) parts.push('suggestion there before the last key')
  else if (ghostMs.value !== undefined) parts.push(`suggestion ${Math.round(ghostMs.value)} ms after the last key`)
  return (
    <div class="read">
      <div class="read-bar" ref={bar} aria-hidden="true" />
      <p class={problem.value ? 'problem' : 'faint'}>{problem.value || parts.join(' · ')}</p>
    </div>
  )
}
