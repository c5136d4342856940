import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Engine } from '@incipit/engine'
import { random, shuffle } from '../../engine/bench/numbers.ts'
import { EngineBackend } from '../src/backends/engine-backend.ts'
import { splitBegun } from '../src/context/fim-format.ts'
import { lineEnd, PromptWindow } from '../src/context/prompt-window.ts'
import { viewAt } from '../src/documents/document-view.ts'
import { promptSizes } from '../src/sessions/prompt-sizes.ts'
import { defaultSettings } from '../src/settings.ts'
import type { Said } from '../src/suggest/gate.ts'
import { cutSuggestion } from '../src/suggest/stop-rules.ts'

// How often what a model gave some probability is what stands there: for suggest/calibrations.ts. At places of this
// repository's code the rest of the line is taken away, and the model completes it; every beginning of that which could be
// shown counts.
//
//   node packages/lsp/bench/calibrate.ts --model models/prelude/prelude-nano.Q8_0.gguf --places 400

const root = join(import.meta.dirname, '../../..')
const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/prelude/prelude-nano.Q8_0.gguf') },
    places: { type: 'string', default: '400' },
    seed: { type: 'string', default: '1' },
    context: { type: 'string', default: '512' },
  },
})

interface Sample {
  readonly probability: number
  readonly right: boolean
}

const settings = { ...defaultSettings, contextTokens: Number(options.context), maxTokens: 24, relatedFiles: false }

/** What is said at a place, and whether each beginning of it stands there. */
async function samplesAt(backend: EngineBackend, file: string, cursor: number): Promise<Sample[]> {
  // The rest of the line is not written yet.
  const there = file.slice(cursor, lineEnd(file, cursor))
  const text = file.slice(0, cursor) + file.slice(cursor + there.length)
  const { situation } = viewAt(text, cursor, '//')
  const { before, after } = new PromptWindow().around(text, cursor, promptSizes(backend, settings, 0.9))
  const prompt = { path: '', comment: '//', related: [], after, ...splitBegun(before) }
  const session = backend.open()
  const abort = new AbortController()
  const said: Said[] = []
  let whole = ''
  for await (const piece of session.complete(prompt, { maxTokens: settings.maxTokens, signal: abort.signal })) {
    said.push(piece)
    whole += piece.text
    if (cutSuggestion(whole.slice(prompt.begun.length), situation, false).complete) break
  }
  abort.abort()
  session.close()
  const { text: shown } = cutSuggestion(whole.slice(prompt.begun.length), situation, true)
  const samples: Sample[] = []
  let [at, probability] = [-prompt.begun.length, 1]
  for (const piece of said) {
    at += piece.text.length
    if (at <= 0) continue
    // Of a token that stood there in part the rest counts, as for what is typed through.
    probability *= (piece.probability ?? 1) ** (Math.min(at, piece.text.length) / piece.text.length)
    if (at > shown.length) break
    if (/[\p{L}\p{N}_$]{2}/u.test(shown.slice(at - 1, at + 1))) continue
    samples.push({ probability, right: there.startsWith(shown.slice(0, at)) })
  }
  return samples
}

/** Points of a line that never falls (pooled adjacent violators over groups of equal size). */
function points(samples: readonly Sample[], groups = 10): [number, number][] {
  const sorted = samples.toSorted((a, b) => a.probability - b.probability)
  const size = Math.ceil(sorted.length / groups)
  const pools: { probability: number; right: number; count: number }[] = []
  for (let from = 0; from < sorted.length; from += size) {
    const group = sorted.slice(from, from + size)
    let pool = {
      probability: group.reduce((sum, sample) => sum + sample.probability, 0),
      right: group.filter(({ right }) => right).length,
      count: group.length,
    }
    for (let last = pools.at(-1); last && last.right / last.count >= pool.right / pool.count; last = pools.at(-1)) {
      pools.pop()
      pool = {
        probability: last.probability + pool.probability,
        right: last.right + pool.right,
        count: last.count + pool.count,
      }
    }
    pools.push(pool)
  }
  const round = (value: number) => Math.round(value * 1000) / 1000
  const inner = pools.map(({ probability, right, count }): [number, number] => [
    round(probability / count),
    round(right / count),
  ])
  return [...inner, [1, inner.at(-1)?.[1] ?? 1]]
}

await using engine = await Engine.load(options.model, { cut: 'none', contextLength: settings.contextTokens })
const backend = new EngineBackend(engine)
const next = random(Number(options.seed))
const listed = execFileSync('git', ['ls-files', 'packages/*/src/*.ts'], { cwd: root, encoding: 'utf8' })
const files = listed.trim().split('\n')
shuffle(files, next)
const samples: Sample[] = []
for (let place = 0; place < Number(options.places); place++) {
  const text = readFileSync(join(root, files[place % files.length]!), 'utf8')
  samples.push(...(await samplesAt(backend, text, Math.floor(next() * (text.length - 50)))))
}
console.log(`${samples.length} beginnings at ${options.places} places of this repository`)
console.log(JSON.stringify(points(samples)))
