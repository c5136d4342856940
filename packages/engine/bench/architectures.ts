import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Engine, IncipitError, type ModelInfo } from '../src/index.ts'
import { temporaryFolder } from './surroundings.ts'
import { table } from './table.ts'

// What models of each architecture in a folder get, as a Markdown table; docs/models.md holds the last.
//
//   node packages/engine/bench/architectures.ts [FOLDER]

const folder = process.argv[2] ?? join(import.meta.dirname, '../../../../shared/models/archs')

/** What people call the models of an architecture. */
const families: Readonly<Record<string, string>> = {
  bailingmoe3: 'Ling 3, Ring 3',
  cogvlm: 'CogVLM',
  cohere2: 'Command R7B, Command A',
  deepseek2: 'DeepSeek V2, V3, R1',
  dream: 'Dream',
  exaone4: 'EXAONE 4',
  'falcon-h1': 'Falcon-H1',
  gemma2: 'Gemma 2',
  gemma3: 'Gemma 3',
  'gpt-oss': 'gpt-oss',
  granitehybrid: 'Granite 4',
  jamba: 'Jamba',
  'kimi-linear': 'Kimi Linear',
  laguna: 'Laguna',
  lfm2: 'LFM2',
  lfm2moe: 'LFM2 MoE',
  llada: 'LLaDA',
  'llada-moe': 'LLaDA MoE',
  llama: 'Llama 2 and 3, SmolLM, TinyLlama',
  llama4: 'Llama 4',
  mamba: 'Mamba',
  mamba2: 'Mamba 2',
  mimo2: 'MiMo 2',
  'minimax-01': 'MiniMax-01',
  nemotron_h: 'Nemotron-H',
  nemotron_h_moe: 'Nemotron-H MoE',
  phi3: 'Phi-3, Phi-4',
  qwen3: 'Qwen3',
  qwen35: 'Qwen3.5, Qwen3.6',
  qwen35moe: 'Qwen3.5 MoE, Qwen3.6 MoE',
  qwen3next: 'Qwen3-Next',
}

const reuse = {
  attention: 'any row',
  window: 'any row while it is in the cache; a copy at its end and at checkpoints',
  recurrent: 'at checkpoints, and where a text ends',
}

function guesses({ memory, proposers }: ModelInfo): string {
  if (!proposers.lookup.available) return `no: ${proposers.lookup.note}`
  if (!proposers.skim.available) return `in a reply, by checkpoints; none at its first word: ${proposers.skim.note}`
  return memory.kind === 'recurrent' ? `yes, up to ${memory.snapshots} at a time, by snapshots` : 'yes'
}

const cacheDir = temporaryFolder()
const rows: string[][] = []
const files = readdirSync(folder).filter((name) => name.endsWith('.gguf'))
for (const file of files.sort()) {
  const architecture = file.replace(/-(dense|moe)(\.Q8_0)?\.gguf$/, '')
  const family = families[architecture] ?? ''
  try {
    await using engine = await Engine.load(join(folder, file), {
      cacheDir,
      threads: 1,
      cut: 'none',
      contextLength: 256,
    })
    const { memory } = engine.info
    const kind = memory.kind === 'window' ? 'sliding window' : memory.kind
    rows.push([family, `\`${architecture}\``, kind, reuse[memory.kind], guesses(engine.info)])
  } catch (error) {
    if (!(error instanceof IncipitError)) throw error
    const why = error.message.replace(/^.*\) is /, '').replace(/;.*/, '')
    rows.push([family, `\`${architecture}\``, `not supported: ${why}`, '', ''])
  }
}
table(['models', 'architecture', 'memory', 'what is used again', 'guesses'], rows)
