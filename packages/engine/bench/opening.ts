import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Model } from '../src/llama/model.ts'
import { Acceptances } from '../src/proposers/acceptances.ts'
import { Opening, Openings } from '../src/proposers/opening.ts'
import { greedyReply } from '../src/tune/exit.ts'
import { Plain } from '../src/tune/plain.ts'
import { parsePrompts, tokenisePrompts } from '../src/tune/prompts.ts'
import { defaultModel, defaultPrompts, threads } from './surroundings.ts'

// How replies begin, guessed without any layer: agreement with the greedy replies of the model, calibration and cost of
// the `opening` proposer beside the most frequent beginning. The replies are kept in a file (`--replies`), so that only
// the first run needs minutes.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prompts: { type: 'string' },
    replies: { type: 'string', default: join(tmpdir(), 'incipit-openings.json') },
    orders: { type: 'string', default: '10' },
  },
})
const modelPath = values.model ?? defaultModel
const promptDir = values.prompts ?? defaultPrompts
const length = 6

interface Case {
  prompt: number[]
  reply: number[]
}

/** The model's own beginnings of replies to all prompts, and the tokens that end a reply. */
async function generate(): Promise<{ cases: Case[]; ends: number[] }> {
  using model = await Model.load(modelPath)
  using plain = new Plain(model, { cells: 8192, threads })
  const cases: Case[] = []
  for (const file of ['chat.jsonl', 'code.jsonl']) {
    const prompts = parsePrompts(readFileSync(join(promptDir, file), 'utf8'))
    for (const { tokens } of tokenisePrompts(model, prompts, 8192 - length)) {
      cases.push({ prompt: tokens, reply: await greedyReply(plain, tokens, length) })
    }
  }
  const tokens = new Set(cases.flatMap(({ reply }) => reply))
  return { cases, ends: [...tokens].filter((token) => model.vocab.isEndOfGeneration(token)) }
}

if (!existsSync(values.replies)) writeFileSync(values.replies, JSON.stringify(await generate()))
const { cases, ends } = JSON.parse(readFileSync(values.replies, 'utf8')) as Awaited<ReturnType<typeof generate>>
const isEnd = (token: number) => ends.includes(token)
const text = ({ prompt }: Case) => ({ tokens: prompt, committed: prompt.length, prompt: prompt.length })
const whole = ({ prompt, reply }: Case) => ({
  tokens: [...prompt, ...reply],
  committed: prompt.length + reply.length,
  prompt: prompt.length,
})
const proposer = (openings: Openings, acceptances: Acceptances) =>
  new Opening(openings, '', acceptances, 'bench', isEnd)

/** The same order for the same seed (Fisher and Yates). */
function shuffled(seed: number): Case[] {
  const order = [...cases]
  for (let i = order.length - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    const j = Math.floor((seed / 2 ** 32) * (i + 1))
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  return order
}

const share = (part: number, all: number) => (all === 0 ? '' : (part / all).toFixed(2))
const table = (header: string[], rows: (string | number)[][]): void => {
  console.log(`| ${header.join(' | ')} |\n|${header.map((_, i) => (i === 0 ? '---' : '--:')).join('|')}|`)
  for (const row of rows) console.log(`| ${row.join(' | ')} |`)
  console.log('')
}

/** Right first tokens, and right tokens of drafts of four. */
class Score {
  asked = 0
  first = 0
  tokens = 0

  add(guess: readonly number[], { reply }: Case): void {
    this.asked++
    let right = 0
    while (right < guess.length && guess[right] === reply[right]) right++
    if (right > 0) this.first++
    this.tokens += right
  }

  row(name: string): (string | number)[] {
    return [name, this.asked, share(this.first, this.asked), share(this.tokens, this.asked)]
  }
}

// In order of arrival: every prompt is asked about before it is learnt, with what was counted until then.
const usual = new Score()
const online = new Score()
const second = new Score()
const levels = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
const calibration = {
  first: levels.map(() => ({ n: 0, sum: 0, right: 0 })),
  later: levels.map(() => ({ n: 0, sum: 0, right: 0 })),
}
let askMs = 0
let learnMs = 0
for (let seed = 1; seed <= Number(values.orders); seed++) {
  const openings = new Openings()
  const acceptances = new Acceptances()
  const counts = new Map<number, number>()
  for (const [index, one] of shuffled(seed).entries()) {
    const opening = proposer(openings, acceptances)
    const begin = performance.now()
    const draft = opening.propose(text(one))
    const asked = performance.now()
    opening.finished(whole(one))
    askMs += asked - begin
    learnMs += performance.now() - asked
    const best = [...counts].sort((a, b) => b[1] - a[1])[0]
    usual.add(best ? [best[0]] : [], one)
    counts.set(one.reply[0]!, (counts.get(one.reply[0]!) ?? 0) + 1)
    online.add(draft?.tokens ?? [], one)
    // What was counted in the first half is judged in the second.
    if (index < cases.length / 2) continue
    second.add(draft?.tokens ?? [], one)
    for (const [i, token] of (draft?.tokens ?? []).entries()) {
      const confidence = draft!.confidences[i]!
      const level = calibration[i === 0 ? 'first' : 'later'][Math.floor(confidence * 10)]!
      level.n++
      level.sum += confidence
      if (token !== one.reply[i]) break
      level.right++
    }
  }
}

const leftOut = new Score()
for (const one of cases) {
  const openings = new Openings()
  for (const other of cases) {
    if (other !== one)
      openings.add(
        '',
        other.prompt,
        other.reply.slice(0, 4).map((token) => (isEnd(token) ? -1 : token)),
      )
  }
  leftOut.add(proposer(openings, new Acceptances()).propose(text(one))?.tokens ?? [], one)
}
const again = new Score()
{
  const openings = new Openings()
  const acceptances = new Acceptances()
  for (const one of cases) proposer(openings, acceptances).finished(whole(one))
  for (const one of cases) again.add(proposer(openings, acceptances).propose(text(one))?.tokens ?? [], one)
}

console.log(`## Openings (${cases.length} prompts, ${values.orders} orders)\n`)
table(
  ['guess', 'asked', 'first token right', 'tokens right of a draft of 4'],
  [
    usual.row('most frequent first token so far'),
    online.row('opening, in order of arrival'),
    second.row('the same, second half'),
    leftOut.row('opening, all others known'),
    again.row('opening, the prompt itself known'),
  ],
)
for (const position of ['first', 'later'] as const) {
  const all = calibration[position].reduce((sum, { n }) => sum + n, 0)
  table(
    [`confidence, ${position} tokens`, 'share of drafts', 'mean confidence', 'right'],
    calibration[position].flatMap(({ n, sum, right }, i) =>
      n === 0
        ? []
        : [[`${levels[i]} to ${(levels[i]! + 0.1).toFixed(1)}`, share(n, all), share(sum, n), share(right, n)]],
    ),
  )
}
const us = (ms: number) => ((1000 * ms) / (cases.length * Number(values.orders))).toFixed(0)
console.log(`Asking: ${us(askMs)} us, learning: ${us(learnMs)} us.`)
