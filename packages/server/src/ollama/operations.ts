import { z } from 'zod'
import { json, nothing } from '../openapi/operation.ts'
import {
  chatReplies,
  embedAnswer,
  embeddingsAnswer,
  generateReplies,
  psAnswer,
  showAnswer,
  tagsAnswer,
  versionAnswer,
} from './answers.ts'
import { chatBody } from './chat-body.ts'
import { embedBody, embeddingsBody } from './embed.ts'
import { generateBody } from './generate-body.ts'

const dialect = 'ollama'

function jsonOrLines({ answer, line }: { readonly answer: z.ZodType; readonly line: z.ZodType }) {
  return { ...json(answer), 'application/x-ndjson': line }
}

/** What the routes do and take. */
export const operations = {
  chat: {
    id: 'ollamaChat',
    summary: 'A reply to a conversation.',
    dialect,
    input: chatBody,
    uses: 'reply',
    answers: jsonOrLines(chatReplies),
  },
  generate: {
    id: 'ollamaGenerate',
    summary: 'A reply to a prompt.',
    dialect,
    input: generateBody,
    uses: 'reply',
    answers: jsonOrLines(generateReplies),
  },
  embed: {
    id: 'ollamaEmbed',
    summary: 'Vectors of texts.',
    dialect,
    input: embedBody,
    uses: 'reply',
    answers: json(embedAnswer),
  },
  embeddings: {
    id: 'ollamaEmbeddings',
    summary: 'A vector of a text, by the former name.',
    dialect,
    input: embeddingsBody,
    uses: 'reply',
    answers: json(embeddingsAnswer),
  },
  tags: {
    id: 'ollamaTags',
    summary: 'The models that are served.',
    dialect,
    input: nothing,
    answers: json(tagsAnswer),
  },
  ps: { id: 'ollamaPs', summary: 'The models that are loaded.', dialect, input: nothing, answers: json(psAnswer) },
  show: {
    id: 'ollamaShow',
    summary: 'What a model is and can do.',
    dialect,
    input: z.object({ model: z.string().nullish(), name: z.string().nullish() }),
    uses: 'model',
    answers: json(showAnswer),
  },
  version: {
    id: 'ollamaVersion',
    summary: 'The version of Ollama whose API this is.',
    dialect,
    input: nothing,
    answers: json(versionAnswer),
  },
} as const
