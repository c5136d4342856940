import { z } from 'zod'
import { chatBody } from '../chat-body.ts'
import { modelQuery } from '../models/with-model.ts'
import { json, jsonOrEvents } from '../openapi/operation.ts'
import { strictArray } from '../strict-array.ts'
import {
  completionAnswer,
  completionEvent,
  detokenizeAnswer,
  promptAnswer,
  propsAnswer,
  slotsAnswer,
  tokenizeAnswer,
} from './answers.ts'
import { completionBody } from './completion-body.ts'
import { infillBody } from './infill.ts'

const dialect = 'llama-server'
const model = z.string().nullish()

const completion = {
  summary: 'A reply to a raw prompt.',
  dialect,
  input: completionBody,
  uses: 'reply',
  answers: jsonOrEvents(completionAnswer, completionEvent),
} as const

/** What the routes do and take. */
export const operations = {
  completion: { ...completion, id: 'complete' },
  completions: { ...completion, id: 'completeByFormerName' },
  infill: {
    id: 'infill',
    summary: 'Fills a gap in a text.',
    dialect,
    input: infillBody,
    uses: 'reply',
    answers: completion.answers,
  },
  tokenize: {
    id: 'tokenize',
    summary: 'The tokens of a text.',
    dialect,
    input: z.object({
      model,
      content: z.string(),
      // With the token that every prompt of the model begins with.
      add_special: z.boolean().nullish(),
      parse_special: z.boolean().nullish(),
      with_pieces: z.boolean().nullish(),
    }),
    uses: 'model',
    answers: json(tokenizeAnswer),
  },
  detokenize: {
    id: 'detokenize',
    summary: 'The text of tokens.',
    dialect,
    input: z.object({ model, tokens: strictArray(z.int().min(0), { least: 0 }) }),
    uses: 'model',
    answers: json(detokenizeAnswer),
  },
  applyTemplate: {
    id: 'applyTemplate',
    summary: 'The prompt of a conversation.',
    dialect,
    input: chatBody,
    uses: 'model',
    answers: json(promptAnswer),
  },
  props: {
    id: 'getProps',
    summary: 'What a model is, and default settings.',
    dialect,
    input: modelQuery,
    uses: 'model',
    answers: json(propsAnswer),
  },
  slots: {
    id: 'getSlots',
    summary: 'How many places there are for requests, and how many are taken.',
    dialect,
    input: modelQuery.extend({ fail_on_no_slot: z.string().optional() }),
    uses: 'model',
    answers: json(slotsAnswer),
  },
  saveSlot: {
    id: 'saveSlot',
    summary: 'Refused: this server saves no slots.',
    dialect,
    input: z.unknown(),
    answers: {},
  },
} as const
