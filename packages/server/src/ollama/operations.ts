import { z } from 'zod'
import { nothing } from '../openapi/operation.ts'
import { chatBody } from './chat-body.ts'
import { embedBody, embeddingsBody } from './embed.ts'
import { generateBody } from './generate-body.ts'

const dialect = 'ollama'
const jsonOrLines = ['application/json', 'application/x-ndjson'] as const

/** What the routes do and take. */
export const operations = {
  chat: {
    id: 'ollamaChat',
    summary: 'A reply to a conversation.',
    dialect,
    input: chatBody,
    uses: 'reply',
    answers: jsonOrLines,
  },
  generate: {
    id: 'ollamaGenerate',
    summary: 'A reply to a prompt.',
    dialect,
    input: generateBody,
    uses: 'reply',
    answers: jsonOrLines,
  },
  embed: { id: 'ollamaEmbed', summary: 'Vectors of texts.', dialect, input: embedBody, uses: 'reply' },
  embeddings: {
    id: 'ollamaEmbeddings',
    summary: 'A vector of a text, by the former name.',
    dialect,
    input: embeddingsBody,
    uses: 'reply',
  },
  tags: { id: 'ollamaTags', summary: 'The models that are served.', dialect, input: nothing },
  ps: { id: 'ollamaPs', summary: 'The models that are loaded.', dialect, input: nothing },
  show: {
    id: 'ollamaShow',
    summary: 'What a model is and can do.',
    dialect,
    input: z.object({ model: z.string().nullish(), name: z.string().nullish() }),
    uses: 'model',
  },
  version: { id: 'ollamaVersion', summary: 'The version of Ollama whose API this is.', dialect, input: nothing },
} as const
