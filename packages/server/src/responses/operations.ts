import { z } from 'zod'
import { json, jsonOrEvents, nothing } from '../openapi/operation.ts'
import { deletedResponse, inputTokens, itemList, response } from './answers.ts'
import { responseEvent } from './event-schemas.ts'
import { listQuery } from './list-items.ts'
import { responsesBody } from './responses-body.ts'

const dialect = 'openai'

/** What the routes do and take. */
export const operations = {
  create: {
    id: 'createResponse',
    summary: 'A response: a reply in OpenAI’s newer dialect.',
    dialect,
    input: responsesBody,
    uses: 'response',
    answers: jsonOrEvents(response, responseEvent),
  },
  connect: {
    id: 'connectResponses',
    summary: 'A socket over which responses are asked for and told.',
    dialect,
    input: nothing,
    answers: {},
    socket: true,
  },
  count: {
    id: 'countResponseInput',
    summary: 'How many tokens a response would read.',
    dialect,
    input: responsesBody,
    uses: 'response',
    answers: json(inputTokens),
  },
  get: {
    id: 'getResponse',
    summary: 'A response that is kept.',
    dialect,
    input: z.object({ stream: z.string().optional() }),
    uses: 'kept responses',
    answers: json(response),
  },
  delete: {
    id: 'deleteResponse',
    summary: 'Forgets a response.',
    dialect,
    input: nothing,
    uses: 'kept responses',
    answers: json(deletedResponse),
  },
  items: {
    id: 'listResponseItems',
    summary: 'The items that a response was made of.',
    dialect,
    input: listQuery,
    uses: 'kept responses',
    answers: json(itemList),
  },
} as const
