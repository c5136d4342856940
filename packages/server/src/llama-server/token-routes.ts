import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import { type DialectOptions, planConversation } from '../dialect.ts'
import { withModel } from '../models/with-model.ts'
import { checkTokens } from '../request-plan.ts'
import { route } from '../route.ts'
import { needed, type ServedEngine } from '../served-engine.ts'
import { operations } from './operations.ts'

/** Adds what texts are as tokens, tokens as text, and conversations as prompts. */
export function addTokenRoutes(app: FastifyInstance, options: DialectOptions): void {
  route(app, 'POST', '/tokenize', operations.tokenize, (request, reply, body) =>
    withModel(options, { model: body.model }, request, reply, async ({ engine }) => {
      const tokens = await needed(engine.tokenize, 'tokenize')(body.content, { special: body.parse_special ?? true })
      const { begin } = engine.info
      const all = body.add_special && begin !== undefined ? [begin, ...tokens] : tokens
      return reply.send({ tokens: body.with_pieces ? await piecesOf(all, engine) : all })
    }),
  )

  route(app, 'POST', '/detokenize', operations.detokenize, (request, reply, { model, tokens }) =>
    withModel(options, { model }, request, reply, async ({ engine }) => {
      checkTokens([tokens], engine.info, 'tokens')
      return reply.send({ content: await needed(engine.detokenize, 'detokenize')(tokens, { special: true }) })
    }),
  )

  route(app, 'POST', '/apply-template', operations.applyTemplate, (request, reply, body) =>
    withModel(options, { model: body.model }, request, reply, async (model) => {
      const { choices } = await planConversation(model, options, body, 'response_format')
      const { messages = [], template } = choices[0]!
      return reply.send({ prompt: await needed(model.engine.renderChat, 'render a conversation')(messages, template) })
    }),
  )
}

/** Tokens with their texts; one that is a part of a character with its bytes. */
async function piecesOf(tokens: readonly number[], { tokenBytes }: ServedEngine): Promise<object[]> {
  const all = await needed(tokenBytes, 'tell the bytes of tokens')(tokens, { special: true })
  return tokens.map((id, i) => ({ id, piece: isUtf8(all[i]!) ? Buffer.from(all[i]!).toString() : [...all[i]!] }))
}
