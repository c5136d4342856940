import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Engine } from '@incipit/engine'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { quantile, random, shuffle } from '../../engine/bench/numbers.ts'
import { table } from '../../engine/bench/table.ts'
import type { Backend } from '../src/backends/backend.ts'
import { EngineBackend } from '../src/backends/engine-backend.ts'
import { NextEdits } from '../src/sessions/next-edits.ts'
import { defaultSettings } from '../src/settings.ts'

// How many of the places of a renamed variable are offered, and how fast: in files of other projects a variable is renamed
// where it is declared, and what is offered is compared with the file in which it is renamed everywhere. Once with the lines
// as prediction, and once without.
//
//   node packages/lsp/bench/next-edit.ts --model ../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf --renames 40

const root = join(import.meta.dirname, '../../..')
const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: '' },
    renames: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    code: { type: 'string', multiple: true, default: ['node_modules/@{ai-sdk,huggingface}/*/src/**/*.ts'] },
  },
})

interface Rename {
  readonly text: string
  /** Offset of the declared name. */
  readonly at: number
  readonly old: string
  readonly now: string
}

const declaration = /^[ \t]+(?:const|let) ([a-z][A-Za-z]{3,}) =/gm

/** A variable of a function that is used in some other lines, and nothing else has its name. */
function renameIn(text: string, now: string, next: () => number): Rename | undefined {
  const found = [...text.matchAll(declaration)].filter(([, name = '']) => {
    const uses = text.match(new RegExp(`\\b${name}\\b`, 'g'))!.length
    const asProperty = new RegExp(`[.'"]${name}\\b|\\b${name}\\??:|[{,]\\s*${name}\\s*[,}]`).test(text)
    return uses >= 2 && uses <= 6 && !asProperty && !text.includes(now)
  })
  const chosen = found[Math.floor(next() * found.length)]
  if (!chosen) return undefined
  const old = chosen[1]!
  return { text, at: chosen.index + chosen[0].indexOf(old), old, now }
}

interface Measured {
  places: number
  right: number
  wrong: number
  readonly ms: number[]
  predicted: number
}

const host = { settings: { ...defaultSettings, contextTokens: 2048 }, began: () => {}, ended: () => {} }

/** Takes every offer that is right, as the writer would, until there is none. */
async function rename({ text, at, old, now }: Rename, backend: Backend, into: Measured): Promise<void> {
  const edits = new NextEdits()
  const uri = 'file:///renamed.ts'
  const whole = text.replaceAll(new RegExp(`\\b${old}\\b`, 'g'), now).split('\n')
  edits.changed(uri, [{ before: text, from: at, to: at + old.length, inserted: now }])
  let document = TextDocument.create(uri, 'typescript', 1, text.slice(0, at) + now + text.slice(at + old.length))
  const line = document.positionAt(at).line
  const missing = () =>
    document
      .getText()
      .split('\n')
      .filter((each, i) => each !== whole[i]).length
  into.places += missing()
  for (;;) {
    const before = missing()
    const began = performance.now()
    const offer = await edits.suggest(document, line, { ...host, backend }, new AbortController().signal)
    if (offer.edits.length === 0) return
    into.ms.push(performance.now() - began)
    into.predicted += offer.prompt?.acceptedPredictionTokens ?? 0
    const changed = new Set(offer.edits.map(({ range }) => range.start.line)).size
    const after = TextDocument.applyEdits(document, [...offer.edits])
    document = TextDocument.create(uri, 'typescript', document.version + 1, after)
    const right = before - missing()
    into.right += right
    into.wrong += changed - right
    if (right < changed) return
  }
}

const next = random(Number(options.seed))
const files = options.code.flatMap((pattern) => globSync(pattern, { cwd: root })).sort()
shuffle(files, next)
const texts = files.map((path) => readFileSync(join(root, path), 'utf8')).filter(({ length }) => length < 20_000)
const names = [...new Set(texts.flatMap((text) => [...text.matchAll(declaration)].map(([, name = '']) => name)))]
const renames: Rename[] = []
for (const text of texts) {
  const found = renameIn(text, names[Math.floor(next() * names.length)]!, next)
  if (found) renames.push(found)
  if (renames.length === Number(options.renames)) break
}

await using engine = await Engine.load(options.model, {
  cut: 'none',
  contextLength: 2048,
  threads: Number(options.threads),
})

/** The same back end, which is not told what to expect. */
class Unpredicting extends EngineBackend {
  override rewrite(...[prompt, given]: Parameters<Backend['rewrite']>) {
    return super.rewrite({ ...prompt, predicted: '' }, given)
  }
}
const backends = [
  ['with the lines as prediction', new EngineBackend(engine)],
  ['without', new Unpredicting(engine)],
] as const
const measured = backends.map((): Measured => ({ places: 0, right: 0, wrong: 0, ms: [], predicted: 0 }))
for (const [round, each] of renames.entries()) {
  for (let turn = 0; turn < backends.length; turn++) {
    const i = (round + turn) % backends.length
    await rename(each, backends[i]![1], measured[i]!)
  }
}
const percent = (part: number, all: number) => `${((100 * part) / Math.max(1, all)).toFixed(1)}%`
console.log(`${renames.length} renames in ${files.length} files, ${engine.info.name}`)
table(
  ['', 'lines to change', 'offered right', 'lines offered wrong', 'p50 ms', 'p95', 'predicted tokens per offer'],
  measured.map(({ places, right, wrong, ms, predicted }, i) => [
    backends[i]![0],
    places,
    percent(right, places),
    wrong,
    quantile(ms, 0.5).toFixed(0),
    quantile(ms, 0.95).toFixed(0),
    (predicted / Math.max(1, ms.length)).toFixed(0),
  ]),
)
