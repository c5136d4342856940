import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Engine } from '@incipit/engine'
import { random, shuffle } from '../../engine/bench/numbers.ts'
import { table } from '../../engine/bench/table.ts'
import { PromptTooLong } from '../src/backends/backend.ts'
import { EngineBackend } from '../src/backends/engine-backend.ts'
import { splitBegun } from '../src/context/fim-format.ts'
import { PromptWindow } from '../src/context/prompt-window.ts'
import { viewAt } from '../src/documents/document-view.ts'
import { lineEnd } from '../src/documents/line-text.ts'
import { promptSizes } from '../src/sessions/prompt-sizes.ts'
import { defaultSettings } from '../src/settings.ts'
import { calibrationOf } from '../src/suggest/calibrations.ts'
import type { Said } from '../src/suggest/gate.ts'
import { cutSuggestion } from '../src/suggest/stop-rules.ts'
import { reliability, type Sample } from './reliability.ts'

// How often what a model gave some probability is what stands there: for suggest/calibrations.ts. At places of code the rest
// of the line is taken away, and the model completes it; every beginning of that which could be shown counts. With `--code`,
// the places are in other code, and it is said how far the calibration that is there can be trusted: how reliable it is on
// what it was not made of.
//
//   node packages/lsp/bench/calibrate.ts --model models/prelude/prelude-small.Q8_0.gguf --places 400
//   node packages/lsp/bench/calibrate.ts --places 600 --code 'node_modules/@huggingface/*/src/**/*.ts'

const root = join(import.meta.dirname, '../../..')
const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/prelude/prelude-small.Q8_0.gguf') },
    places: { type: 'string', default: '400' },
    seed: { type: 'string', default: '1' },
    context: { type: 'string', default: '512' },
    /** Files to take places from, as a pattern. Default: this repository's. */
    code: { type: 'string', multiple: true },
  },
})

const settings = { ...defaultSettings, contextTokens: Number(options.context), maxTokens: 24, relatedFiles: false }

/** What is said at a place, and whether each beginning of it stands there. */
async function samplesAt(backend: EngineBackend, path: string, file: string, cursor: number): Promise<Sample[]> {
  // The rest of the line is not written yet.
  const there = file.slice(cursor, lineEnd(file, cursor))
  const text = file.slice(0, cursor) + file.slice(cursor + there.length)
  const comment = path.endsWith('.py') ? '#' : '//'
  const { situation } = viewAt(text, cursor, comment)
  const { before, after } = new PromptWindow().around(text, cursor, promptSizes(backend, settings, 0.9))
  const prompt = { path, comment, related: [], after, ...splitBegun(before) }
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

/** How reliable probabilities are, as they are said and as they are corrected. */
function printReliability(samples: readonly Sample[], calibrate: (probability: number) => number): void {
  const corrected = samples.map(({ probability, right }) => ({ probability: calibrate(probability), right }))
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`
  for (const [name, given] of [
    ['as the model says', samples],
    ['calibrated', corrected],
  ] as const) {
    const { groups, error, brier } = reliability(given)
    console.log(`\n${name}: calibration error ${percent(error)}, Brier score ${brier.toFixed(3)}`)
    const rows = groups.map(({ said, right, count }) => [percent(said), percent(right), count])
    table(['probability', 'right', 'beginnings'], rows)
    for (const least of [defaultSettings.minAcceptance, 0.5, 0.75]) {
      const shown = given.filter(({ probability }) => probability >= least)
      if (shown.length === 0) continue
      const right = shown.filter(({ right }) => right).length / shown.length
      console.log(
        `at a bound of ${least}: ${percent(shown.length / given.length)} of beginnings, ${percent(right)} right`,
      )
    }
  }
}

function filesOf(patterns: readonly string[] | undefined): string[] {
  if (patterns) return patterns.flatMap((pattern) => globSync(pattern)).sort()
  const listed = execFileSync('git', ['ls-files', 'packages/*/src/*.ts'], { cwd: root, encoding: 'utf8' })
  return listed
    .trim()
    .split('\n')
    .map((path) => join(root, path))
}

await using engine = await Engine.load(options.model, { cut: 'none', contextLength: settings.contextTokens })
const backend = new EngineBackend(engine)
const next = random(Number(options.seed))
const files = filesOf(options.code)
shuffle(files, next)
const samples: Sample[] = []
for (let place = 0; place < Number(options.places); place++) {
  const path = files[place % files.length]!
  const text = readFileSync(path, 'utf8').replaceAll('\r', '')
  if (text.length < 200) continue
  const found = await samplesAt(backend, path, text, Math.floor(next() * (text.length - 50))).catch(
    (error: unknown) => {
      // A table of numbers or of signs has more tokens than code: an editor asks again with less.
      if (error instanceof PromptTooLong) return []
      throw error
    },
  )
  samples.push(...found)
}
console.log(`${samples.length} beginnings at ${options.places} places of ${files.length} files`)
if (options.code) printReliability(samples, calibrationOf(backend.model))
else console.log(JSON.stringify(points(samples)))
