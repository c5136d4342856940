import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../failure.ts'
import { isHubReference, parseHubReference } from './reference.ts'

/** `family:size`, and where that is. The first of a family is meant by the family's name alone. */
const known: Readonly<Record<string, string>> = {
  'smollm2:135m': 'hf:bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M',
  'smollm2:1.7b': 'hf:bartowski/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M',
  'llama3.2:1b': 'hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M',
  'llama3.2:3b': 'hf:bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M',
  'qwen3:0.6b': 'hf:Qwen/Qwen3-0.6B-GGUF:Q8_0',
  'qwen3:4b': 'hf:Qwen/Qwen3-4B-GGUF:Q4_K_M',
  'qwen3:8b': 'hf:Qwen/Qwen3-8B-GGUF:Q4_K_M',
  'qwen3:30b-a3b': 'hf:Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M',
  'qwen3.5:0.8b': 'hf:unsloth/Qwen3.5-0.8B-GGUF:Q4_K_M',
  'qwen3.5:4b': 'hf:unsloth/Qwen3.5-4B-GGUF:Q4_K_M',
  'qwen2.5-coder:1.5b': 'hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:Q4_K_M',
  'qwen2.5-coder:7b': 'hf:Qwen/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M',
  'gemma3:1b': 'hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M',
  'gemma3:4b': 'hf:ggml-org/gemma-3-4b-it-GGUF:Q4_K_M',
  'gemma2:2b': 'hf:bartowski/gemma-2-2b-it-GGUF:Q4_K_M',
  'phi4-mini:3.8b': 'hf:unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M',
  'gpt-oss:20b': 'hf:ggml-org/gpt-oss-20b-GGUF:mxfp4',
  'granite4:tiny-h': 'hf:ibm-granite/granite-4.0-h-tiny-GGUF:Q4_K_M',
  'lfm2:1.2b': 'hf:LiquidAI/LFM2-1.2B-GGUF:Q4_K_M',
  'falcon-h1:0.5b': 'hf:tiiuae/Falcon-H1-0.5B-Instruct-GGUF:Q4_K_M',
  'exaone4:1.2b': 'hf:LGAI-EXAONE/EXAONE-4.0-1.2B-GGUF:Q4_K_M',
  'deepseek-coder-v2:16b': 'hf:bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF:Q4_K_M',
  'command-r7b:7b': 'hf:bartowski/c4ai-command-r7b-12-2024-GGUF:Q4_K_M',
  'nomic-embed-text:v1.5': 'hf:nomic-ai/nomic-embed-text-v1.5-GGUF:Q8_0',
}

/** In a store: names of one's own, which come before those that are known. */
const namesFile = 'short-names.json'

/**
 * References by short name, those of the store's own file first.
 * @throws UsageError for a file that is none
 */
export async function shortNames(store: string): Promise<ReadonlyMap<string, string>> {
  const names = new Map(Object.entries(await ownNames(join(store, namesFile))))
  for (const [name, reference] of Object.entries(known)) if (!names.has(name)) names.set(name, reference)
  return names
}

/** What a short name stands for: `qwen3:4b`, or `qwen3` for the first of its family. */
export function named(names: ReadonlyMap<string, string>, name: string): string | undefined {
  return names.get(name) ?? [...names].find(([full]) => full.startsWith(`${name}:`))?.[1]
}

async function ownNames(path: string): Promise<Record<string, string>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    return {}
  }
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`${path} is not JSON: ${(cause as Error).message}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`${path} must be an object of names and references`)
  }
  const own: Record<string, string> = {}
  for (const [name, reference] of Object.entries(content)) {
    if (typeof reference !== 'string' || !isHubReference(reference)) {
      throw new UsageError(`${path}: ${name} must stand for a reference such as hf:owner/repo:Q4_K_M`)
    }
    parseHubReference(reference)
    own[name] = reference
  }
  return own
}
