import type { FastifyInstance } from 'fastify'
import { type DialectOptions, planConversation } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import { withModel } from '../models/with-model.ts'
import { checkTokens } from '../request-plan.ts'
import { route } from '../route.ts'
import type { ServedEngine } from '../served-engine.ts'
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
      return reply.send({ content: await needed(engine.detokenize, 'detokenize')(tokens) })
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

async function piecesOf(tokens: readonly number[], { detokenize }: ServedEngine): Promise<object[]> {
  const textOf = needed(detokenize, 'detokenize')
  const known = new Map<number, string>()
  const pieces: object[] = []
  for (const id of tokens) {
    const piece = known.get(id) ?? (await textOf([id]))
    // The engine tells text: which bytes of a character a token has, it does not say.
    if (piece.includes('\uFFFD')) {
      const message = `with_pieces: token ${id} is a part of a character, which has no text of its own`
      throw new ServerError('unsupported', message, { param: 'with_pieces' })
    }
    known.set(id, piece)
    pieces.push({ id, piece })
  }
  return pieces
}

/** @throws ServerError `unsupported` */
function needed<F>(method: F | undefined, what: string): F {
  if (method === undefined) throw new ServerError('unsupported', `this server cannot ${what}`)
  return method
}
