import type { EngineApi, GenerateRequest } from '@incipit/engine/api'

type Prompt = Omit<Parameters<EngineApi['prefill']>[0], 'signal'>

/** What of a request decides which rows its prompt has, and who may use them. */
export function promptOf({ prompt, messages, template, parseSpecial, cacheSalt }: GenerateRequest): Prompt {
  return {
    ...(prompt !== undefined && { prompt }),
    ...(messages && { messages }),
    ...(template && { template }),
    ...(parseSpecial && { parseSpecial }),
    ...(cacheSalt !== undefined && { cacheSalt }),
  }
}
