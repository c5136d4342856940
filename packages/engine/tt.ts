import { readFileSync } from 'node:fs'
import { parsePrompts, tuneExit, tuneSkim } from './src/index.ts'

const prompts = [
  ...parsePrompts(readFileSync('../shared/prompts/code.jsonl', 'utf8')),
  ...parsePrompts(readFileSync('../shared/prompts/chat.jsonl', 'utf8')),
]
  .filter((p, i) => JSON.stringify(p).length < 900)
  .slice(0, Number(process.argv[3] ?? 60))
const o = {
  model: '../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf',
  prompts,
  cacheDir: '/tmp/tune-cache',
  threads: 1,
  tokens: 16,
  onProgress: (l: string) => console.log((performance.now() / 1000).toFixed(0), l),
}
const r = process.argv[2] === 'skim' ? await tuneSkim(o) : await tuneExit(o)
console.log(JSON.stringify(r, null, 1))
