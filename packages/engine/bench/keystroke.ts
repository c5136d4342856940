import assert from 'node:assert/strict'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import type { ChatMessage } from '../src/api/request.ts'
import { PromptTokenizer } from '../src/input/prompt-tokenizer.ts'
import { Model } from '../src/llama/model.ts'
import { templateOf } from '../src/runtime/load/template-of.ts'
import { quantile, random } from './numbers.ts'
import { defaultModel, requireFiles } from './surroundings.ts'
import { table } from './table.ts'

// Milliseconds that a keystroke in an open text takes until its tokens are known: with the template rendered and
// everything tokenised every time, and with `PromptTokenizer`, in turns. Both give the same tokens. Prints a Markdown table.
//
//   node packages/engine/bench/keystroke.ts [--model FILE] [--sizes TOKENS,TOKENS] [--keys N]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    // Tokens of the conversation or the raw text.
    sizes: { type: 'string', default: '105,1600,7700' },
    // Keystrokes per row.
    keys: { type: 'string', default: '120' },
  },
})
const path = values.model ?? defaultModel
requireFiles({ '--model': path })
const keys = Number(values.keys)
using model = await Model.load(path)
const { vocab } = model
const template = templateOf(model)
const sizes = values.sizes.split(',').map(Number)
// Room for everything: what lies beyond the context is not tokenised.
const contextLength = 2 * Math.max(...sizes) + keys
const tokenizer = new PromptTokenizer({ template, vocab, modelName: path, contextLength })
const sentences = [
  'The old man sat by the river and watched the boats go by.',
  'How many of the 27 files did you change, and why?',
  'const total = prices.reduce((sum, price) => sum + price, 0)\n',
  "I don't think that is what she said; she said (twice!) that it was fine.",
]
const sentence = (i: number) => sentences[i % sentences.length]!

/** Text or a conversation that grows until it has this many tokens. */
function grown<T>(tokens: number, make: (length: number) => T, count: (made: T) => number): T {
  let length = 1
  while (count(make(length)) < tokens) length += Math.ceil(length / 8)
  while (length > 1 && count(make(length)) > tokens) length--
  return make(length)
}
const conversation = (length: number): ChatMessage[] =>
  Array.from({ length }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `${sentence(i)} ${sentence(i + 1)}`,
  }))
const prose = (length: number) => Array.from({ length }, (_, i) => sentence(i)).join(' ')

interface Typing {
  name: string
  size: number
  messages: readonly ChatMessage[] | 'raw'
  text: string
  /** UTF-16 offset of each letter that is typed. */
  places: readonly number[]
}

// The first long text reads the vocabulary.
const [, vocabularyMs] = timed(() => tokenizer.open('raw').tokens(prose(20)))
const rows: (string | number)[][] = []
for (const size of sizes) {
  if (template !== undefined) {
    const messages = grown(size, conversation, (made) => tokenizer.tokens({ messages: made }).length)
    const places = Array.from({ length: keys }, (_, i) => i)
    rows.push(measure({ name: 'conversation, message typed', size, messages, text: '', places }))
  }
  const text = grown(size, prose, (made) => tokenizer.tokens({ prompt: made }).length)
  const raw = { size, messages: 'raw' as const, text }
  const next = random(1)
  const at = (start: number) => Array.from({ length: keys }, (_, i) => start + i)
  const anywhere = at(0).map((i) => Math.floor(next() * (text.length + i)))
  rows.push(measure({ ...raw, name: 'raw text, typed at its end', places: at(text.length) }))
  rows.push(measure({ ...raw, name: 'raw text, typed in its middle', places: at(Math.floor(text.length / 2)) }))
  rows.push(measure({ ...raw, name: 'raw text, each letter elsewhere', places: anywhere }))
}
console.log(`ms per keystroke, medians and 95th percentiles of ${keys}; open: once, with the text as it was before`)
console.log(`reading the vocabulary, once per model: ${vocabularyMs.toFixed(0)} ms\n`)
table(['', 'tokens', 'whole', 'p95', 'incremental', 'p95', 'open'], rows)

function measure({ name, size, messages, text, places }: Typing): (string | number)[] {
  const start = performance.now()
  const prompt = tokenizer.open(messages)
  prompt.tokens(text)
  const open = performance.now() - start
  const [whole, incremental]: [number[], number[]] = [[], []]
  const letters = prose(keys)
  let typed = text
  for (const [i, place] of places.entries()) {
    typed = typed.slice(0, place) + letters[i] + typed.slice(place)
    const [before, beforeMs] = timed(() => wholeTokens(messages, typed))
    const [after, afterMs] = timed(() => prompt.tokens(typed))
    assert.ok(isDeepStrictEqual(after, before), `${name}: other tokens than those of the whole`)
    whole.push(beforeMs)
    incremental.push(afterMs)
  }
  const ms = [quantile(whole, 0.5), quantile(whole, 0.95), quantile(incremental, 0.5), quantile(incremental, 0.95)]
  return [name, size, ...ms.map((number) => number.toFixed(2)), open.toFixed(1)]
}

/** The tokens of an open prompt without anything kept from the keystroke before. */
function wholeTokens(messages: readonly ChatMessage[] | 'raw', text: string): number[] {
  const addBos = vocab.addsBos
  if (messages === 'raw') return vocab.tokenize(text, { addBos }).slice(0, -1)
  const open = [...messages, { role: 'user', content: text }]
  const prompt = template!.render(open)
  const { after } = template!.contentPlace(open)!
  return vocab.tokenize(prompt.slice(0, prompt.length - after.length), { special: true, addBos }).slice(0, -1)
}

function timed<T>(call: () => T): [T, number] {
  const start = performance.now()
  const result = call()
  return [result, performance.now() - start]
}
