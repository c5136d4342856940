/*
 * node packages/constraint/bench/web-xgrammar.ts --peer FOLDER [--model FILE.gguf]: compile and mask times beside those of
 * @mlc-ai/web-xgrammar, which stands in FOLDER/node_modules (npm install @mlc-ai/web-xgrammar@0.1.27), on the same schemas and
 * the same random walks, in turns. Prints a Markdown table.
 */
import { copyFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, quantile } from '../../engine/bench/numbers.ts'
import { defaultModel, temporaryFolder } from '../../engine/bench/surroundings.ts'
import { readGguf } from '../../engine/src/gguf/index.ts'
import { tasks } from '../../server/bench/schemas.ts'
import { Constraints, type Vocabulary } from '../src/index.ts'

const { values } = parseArgs({ options: { peer: { type: 'string' }, model: { type: 'string' } } })
if (values.peer === undefined) {
  console.error('usage: node packages/constraint/bench/web-xgrammar.ts --peer FOLDER [--model FILE.gguf]')
  process.exit(2)
}
const gguf = await readGguf(values.model ?? defaultModel)
const field = (name: string) => (gguf.metadata.get(name) as { value: unknown }).value
const encoded = [...(field('tokenizer.ggml.tokens') as Iterable<string>)]
const types = field('tokenizer.ggml.token_type') as Int32Array
const end = field('tokenizer.ggml.eos_token_id') as number

/** Bytes of a token in GPT-2's alphabet, where every byte is a letter. */
const byLetter = new Map<string, number>()
for (let byte = 0, other = 256; byte < 256; byte++) {
  const plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  byLetter.set(String.fromCodePoint(plain ? byte : other++), byte)
}
const pieces = encoded.map((token, i) =>
  types[i] === 3 ? new Uint8Array() : Uint8Array.from([...token].map((letter) => byLetter.get(letter)!)),
)
const vocabulary: Vocabulary = {
  size: encoded.length,
  bytesOf: (token) => pieces[token]!,
  isEndOfGeneration: (token) => token === end,
}

interface Walk {
  /** Milliseconds of a mask. */
  mask(): Promise<number> | number
  /** Whether the token may follow, and milliseconds of the step. */
  advance(token: number): { taken: boolean; ms: number }
  dispose(): void
}
interface Engine {
  readonly name: string
  readonly initMs: number
  /** Milliseconds, and the beginning of a text. */
  begin(schema: object): Promise<{ ms: number; walk: Walk }>
}

const now = () => performance.now()
let began = now()
const constraints = new Constraints(vocabulary)
const ours: Engine = {
  name: '@incipit/constraint',
  initMs: now() - began,
  async begin(schema) {
    const before = now()
    const matcher = constraints.compile({ type: 'json_schema', schema })
    const ms = now() - before
    return {
      ms,
      walk: {
        mask: () => {
          const before = now()
          matcher.mask()
          return now() - before
        },
        advance: (token) => {
          const before = now()
          matcher.advance(token)
          return { taken: true, ms: now() - before }
        },
        dispose: () => matcher[Symbol.dispose](),
      },
    }
  },
}

// It says that it is a module, and is none: Node takes it under another name.
const folder = temporaryFolder()
copyFileSync(join(values.peer, 'node_modules/@mlc-ai/web-xgrammar/lib/index.js'), join(folder, 'index.cjs'))
// The package has its types elsewhere; this is what is used of it.
interface Peer {
  TokenizerInfo: {
    createTokenizerInfo(tokens: string[], type: string, space: boolean, size: number, ends: number[]): Promise<unknown>
  }
  GrammarCompiler: { createGrammarCompiler(info: unknown, cache: boolean): Promise<PeerCompiler> }
  GrammarMatcher: { createGrammarMatcher(compiled: unknown): Promise<PeerMatcher> }
}
interface PeerCompiler {
  compileJSONSchema(
    schema: string,
    anyWhitespace: boolean,
    indent: number,
    separators: [string, string],
  ): Promise<unknown>
}
interface PeerMatcher {
  getNextTokenBitmask(): Promise<Int32Array>
  acceptToken(token: number): boolean
  dispose(): void
}
const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = createRequire(import.meta.url)(
  join(folder, 'index.cjs'),
) as Peer
began = now()
const info = await TokenizerInfo.createTokenizerInfo(encoded, 'byte_level', false, encoded.length, [end])
const compiler = await GrammarCompiler.createGrammarCompiler(info, false)
const theirs: Engine = {
  name: '@mlc-ai/web-xgrammar',
  initMs: now() - began,
  async begin(schema) {
    const before = now()
    const compiled = await compiler.compileJSONSchema(JSON.stringify(schema), false, -1, [', ', ': '])
    const matcher = await GrammarMatcher.createGrammarMatcher(compiled)
    return {
      ms: now() - before,
      walk: {
        mask: async () => {
          const before = now()
          await matcher.getNextTokenBitmask()
          return now() - before
        },
        advance: (token) => {
          const before = now()
          const taken = matcher.acceptToken(token)
          return { taken, ms: now() - before }
        },
        dispose: () => matcher.dispose(),
      },
    }
  },
}

/** Makes texts under a schema, so that the one that is measured has not seen it: any token that may follow, and where it can end one that brings the end nearer. */
const walker = new Constraints(vocabulary)
function textUnder(schema: object, seed: number): number[] {
  let state = seed
  const pick = (count: number) => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return state % count
  }
  using matcher = walker.compile({ type: 'json_schema', schema })
  const text: number[] = []
  while (text.length < 200 && matcher.ending !== 'must') {
    const mask = matcher.mask()
    const allowed = pieces.flatMap((piece, t) => (piece.length > 0 && (mask[t >> 5]! >> (t & 31)) & 1 ? [t] : []))
    const closing = allowed.filter((token) => /["\]}]/.test(encoded[token]!))
    const from = closing.length > 0 && pick(3) > 0 ? closing : allowed
    text.push(from[pick(from.length)]!)
    matcher.advance(text.at(-1)!)
  }
  return text
}

const figures = new Map<Engine, { compile: number[]; mask: number[]; advance: number[]; refused: number }>()
for (const engine of [ours, theirs]) figures.set(engine, { compile: [], mask: [], advance: [], refused: 0 })
for (const [i, { schema }] of tasks.entries()) {
  const text = textUnder(schema, i + 1)
  for (const engine of i % 2 === 0 ? [ours, theirs] : [theirs, ours]) {
    const { compile, mask, advance } = figures.get(engine)!
    const { ms, walk } = await engine.begin(schema)
    compile.push(ms)
    for (const token of text) {
      mask.push(await walk.mask())
      const step = walk.advance(token)
      advance.push(step.ms)
      if (step.taken) continue
      figures.get(engine)!.refused++
      break
    }
    walk.dispose()
  }
}
const µs = (ms: number) => (1000 * ms).toFixed(0)
const mean = (all: number[]) => all.reduce((sum, ms) => sum + ms, 0) / all.length
console.log('| | once, ms | compile p50, ms | p90 | mask mean, µs | p50 | p99 | step mean, µs | walks refused |')
console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
for (const [{ name, initMs }, { compile, mask, advance, refused }] of figures) {
  const cells = [
    initMs.toFixed(0),
    median(compile).toFixed(1),
    quantile(compile, 0.9).toFixed(1),
    µs(mean(mask)),
    µs(median(mask)),
    µs(quantile(mask, 0.99)),
    µs(mean(advance)),
    `${refused} of ${tasks.length}`,
  ]
  console.log(`| ${name} | ${cells.join(' | ')} |`)
}
