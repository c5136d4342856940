import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { topProbability } from '../src/core/sampling/sample.ts'
import { Model } from '../src/llama/model.ts'
import { minPrompt } from '../src/proposers/skim.ts'
import { Plain } from '../src/tune/plain.ts'
import { parsePrompts, tokenisePrompts } from '../src/tune/prompts.ts'
import { mean } from './numbers.ts'
import { defaultModel, defaultPrompts, requireFiles, threads } from './surroundings.ts'
import { table } from './table.ts'

// Where a look should read: how often its first token is the full prompt's, by the share of the prompt read before it and
// by the tokens of the prompt's end that it reads. Prints a Markdown table; docs/benchmarks.md holds the last.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    // A file of prompts, as `incipit tune --prompts` takes.
    prompts: { type: 'string' },
    shares: { type: 'string', default: '0.05,0.1,0.2,0.35,0.5,0.7' },
    tails: { type: 'string', default: '12,24,48' },
    // Most prompts.
    n: { type: 'string', default: '100' },
  },
})
const modelPath = values.model ?? defaultModel
const promptPath = values.prompts ?? join(defaultPrompts, 'chat.jsonl')
requireFiles({ '--model': modelPath, '--prompts': promptPath })
const shares = values.shares.split(',').map(Number)
const tails = values.tails.split(',').map(Number)
const longest = 2048

using model = await Model.load(modelPath)
const prompts = tokenisePrompts(model, parsePrompts(readFileSync(promptPath, 'utf8')), longest)
  .filter(({ tokens }) => tokens.length >= minPrompt)
  .slice(0, Number(values.n))
using plain = new Plain(model, { cells: longest + Math.max(...tails), threads })

/** Per share and tail: was the look right, and what share of the prompt's rows it took. */
const looks = new Map<string, { right: boolean; rows: number }[]>()
for (const { tokens, suffix } of prompts) {
  plain.reset()
  let read = 0
  const seen: { key: string; token: number; rows: number }[] = []
  for (const share of shares) {
    const forkAt = Math.round(share * tokens.length)
    await plain.run(tokens.slice(read, forkAt))
    read = forkAt
    for (const tail of tails) {
      const from = tokens.length - suffix - tail
      if (from <= forkAt) continue
      // As on a fork: consecutive positions, and nothing of it stays.
      await plain.run(tokens.slice(from))
      const { token } = topProbability(plain.logits())
      seen.push({ key: `${share}/${tail}`, token, rows: (forkAt + tokens.length - from) / tokens.length })
      plain.reset(forkAt)
    }
  }
  await plain.run(tokens.slice(read))
  const { token: first } = topProbability(plain.logits())
  for (const { key, token, rows } of seen) {
    looks.set(key, [...(looks.get(key) ?? []), { right: token === first, rows }])
  }
}

console.log(`${prompts.length} prompts of ${minPrompt} tokens and more\n`)
table(
  ['read before', ...tails.map((tail) => `T = ${tail}: r, p`)],
  shares.map((share) => [
    `${Math.round(100 * share)}%`,
    ...tails.map((tail) => {
      const all = looks.get(`${share}/${tail}`) ?? []
      const right = mean(all.map((look) => Number(look.right)))
      return `${mean(all.map(({ rows }) => rows)).toFixed(2)}, ${right.toFixed(2)}`
    }),
  ]),
)
