import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { chatBody } from '../chat-body.ts'
import { type DialectOptions, planConversation } from '../dialect.ts'
import { withModel } from '../models/with-model.ts'
import { checkTokens } from '../request-plan.ts'
import { route } from '../route.ts'
import { needed, type ServedEngine } from '../served-engine.ts'
import { strictArray } from '../strict-array.ts'
import { validate } from '../validate.ts'

const model = z.string().nullish()

const tokenizeBody = z.object({
  model,
  content: z.string(),
  // With the token that every prompt of the model begins with.
  add_special: z.boolean().nullish(),
  parse_special: z.boolean().nullish(),
  with_pieces: z.boolean().nullish(),
})

const detokenizeBody = z.object({ model, tokens: strictArray(z.int().min(0), { least: 0 }) })

/** Adds what texts are as tokens, tokens as text, and conversations as prompts. */
export function addTokenRoutes(app: FastifyInstance, options: DialectOptions): void {
  route(app, 'POST', '/tokenize', (request, reply) => {
    const body = validate(tokenizeBody, request.body)
    return withModel(options, { model: body.model }, request, reply, async ({ engine }) => {
      const tokens = await needed(engine.tokenize, 'tokenize')(body.content, { special: body.parse_special ?? true })
      const { begin } = engine.info
      const all = body.add_special && begin !== undefined ? [begin, ...tokens] : tokens
      return reply.send({ tokens: body.with_pieces ? await piecesOf(all, engine) : all })
    })
  })

  route(app, 'POST', '/detokenize', (request, reply) => {
    const { model, tokens } = validate(detokenizeBody, request.body)
    return withModel(options, { model }, request, reply, async ({ engine }) => {
      checkTokens([tokens], engine.info, 'tokens')
      return reply.send({ content: await needed(engine.detokenize, 'detokenize')(tokens, { special: true }) })
    })
  })

  route(app, 'POST', '/apply-template', (request, reply) => {
    const body = validate(chatBody, request.body)
    return withModel(options, { model: body.model }, request, reply, async (model) => {
      const { choices } = await planConversation(model, options, body, 'response_format')
      const { messages = [], template } = choices[0]!
      return reply.send({ prompt: await needed(model.engine.renderChat, 'render a conversation')(messages, template) })
    })
  })
}

/** Tokens with their texts; one that is a part of a character with its bytes. */
async function piecesOf(tokens: readonly number[], { tokenBytes }: ServedEngine): Promise<object[]> {
  const all = await needed(tokenBytes, 'tell the bytes of tokens')(tokens, { special: true })
  return tokens.map((id, i) => ({ id, piece: isUtf8(all[i]!) ? Buffer.from(all[i]!).toString() : [...all[i]!] }))
}
