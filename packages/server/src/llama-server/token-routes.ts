import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { chatBody } from '../chat-body.ts'
import { type DialectOptions, planConversation } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import { checkTokens } from '../request-plan.ts'
import { route } from '../route.ts'
import type { ServedEngine } from '../served-engine.ts'
import { strictArray } from '../strict-array.ts'
import { validate } from '../validate.ts'

const tokenizeBody = z.object({
  content: z.string(),
  // With the token that every prompt of the model begins with.
  add_special: z.boolean().nullish(),
  parse_special: z.boolean().nullish(),
  with_pieces: z.boolean().nullish(),
})

const detokenizeBody = z.object({ tokens: strictArray(z.int().min(0), { least: 0 }) })

/** Adds what texts are as tokens, tokens as text, and conversations as prompts. */
export function addTokenRoutes(app: FastifyInstance, options: DialectOptions): void {
  const { engine } = options
  const { info } = engine

  route(app, 'POST', '/tokenize', async (request) => {
    const body = validate(tokenizeBody, request.body)
    const tokenize = needed(engine.tokenize, 'tokenize')
    const tokens = await tokenize(body.content, { special: body.parse_special ?? true })
    const all = body.add_special && info.begin !== undefined ? [info.begin, ...tokens] : tokens
    return { tokens: body.with_pieces ? await piecesOf(all, engine) : all }
  })

  route(app, 'POST', '/detokenize', async (request) => {
    const { tokens } = validate(detokenizeBody, request.body)
    checkTokens([tokens], info, 'tokens')
    return { content: await needed(engine.detokenize, 'detokenize')(tokens) }
  })

  route(app, 'POST', '/apply-template', async (request) => {
    const plan = await planConversation(options, validate(chatBody, request.body), 'response_format')
    const { messages = [], template } = plan.choices[0]!
    return { prompt: await needed(engine.renderChat, 'render a conversation')(messages, template) }
  })
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
