import { IncipitError } from '../api/errors.ts'
import type { PromptFrame } from '../api/input-options.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest, PromptPiece } from '../api/request.ts'
import { CutPlaces } from '../text/cut-places.ts'
import { IncrementalTokenizer } from '../text/incremental-tokenizer.ts'
import { hidden, hiddenOptions, promptTokens } from '../text/prompt.ts'
import { SpecialTexts } from '../text/special-texts.ts'
import type { ChatTemplate } from '../text/template.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

// More than any vocabulary needs on average.
const charactersPerToken = 16

/** The prompt of an input whose text is still being written. */
export interface OpenPrompt {
  /**
   * Tokens of the prompt with this text, without what the template puts after it, up to the last token but one: the last
   * one is likely to become another when the text goes on. A new array at every call; empty when nothing can be computed
   * ahead. The cost is that of what changed since the last call.
   */
  tokens(text: string): readonly number[]
}

/** What of a request is its prompt. */
type PromptRequest = Pick<GenerateRequest, 'prompt' | 'messages' | 'template' | 'parseSpecial'>

/** Turns requests, and inputs that are still being written, into tokens. */
export class PromptTokenizer {
  /** Number of tokens that the chat template puts after the last message; 0 where that cannot be determined. */
  readonly suffixLength: number
  /** Tokens that end a message and begin one of the user; none where the template has no special ones for that. */
  readonly messageStart: readonly number[]
  readonly #chatTemplate: ChatTemplate | undefined
  readonly #vocab: Tokenizer
  readonly #modelName: string
  readonly #specials: SpecialTexts
  readonly #cuts: CutPlaces
  /** UTF-16 code units of an open prompt that are tokenised: what lies beyond the context is not computed. */
  readonly #longest: number

  constructor(options: {
    /** Undefined where the model has none: then only raw prompts are possible. */
    template: ChatTemplate | undefined
    vocab: Tokenizer
    /** For errors. */
    modelName: string
    /** In tokens. */
    contextLength: number
  }) {
    const { template, vocab, modelName, contextLength } = options
    this.#chatTemplate = template
    this.#vocab = vocab
    this.#modelName = modelName
    this.#specials = new SpecialTexts(vocab)
    this.#cuts = new CutPlaces(vocab)
    this.#longest = contextLength * charactersPerToken
    this.suffixLength = vocab.tokenize(template?.generationSuffix() ?? '', { special: true }).length
    this.messageStart = this.#certain(template?.betweenTurns() ?? '')
  }

  /** Tokens of a text from the first special one on, without a last one that may become another with what follows. */
  #certain(text: string): readonly number[] {
    const tokens = this.#vocab.tokenize(text, { special: true })
    const specials = new Set(this.#vocab.specialTexts)
    const isSpecial = (token: number) => specials.has(this.#vocab.specialText(token))
    const first = tokens.findIndex(isSpecial)
    if (first < 0) return []
    return tokens.slice(first, isSpecial(tokens.at(-1)!) ? tokens.length : -1)
  }

  /** Reads the vocabulary now (0.1 to 0.5 s), and not at the first open text. */
  prepare(): void {
    this.#cuts.prepare()
  }

  /**
   * Tokens of a whole request.
   * @throws IncipitError `chat_template` for messages without a template and messages that it rejects,
   *   `invalid_request` for tokens outside the vocabulary
   */
  tokens({ prompt, messages, template, parseSpecial = false }: PromptRequest): readonly number[] {
    const vocab = this.#vocab
    if (messages !== undefined) return promptTokens(this.#template, vocab, messages, this.#specials, template)
    if (typeof prompt !== 'string') return this.#pieces(prompt!, parseSpecial)
    // Who writes special tokens may have written the first one, too.
    const begun = parseSpecial && vocab.addsBos && prompt.startsWith(vocab.specialText(vocab.bos))
    return vocab.tokenize(prompt, { addBos: vocab.addsBos && !begun, special: parseSpecial })
  }

  /**
   * The prompt of a conversation whose last message, the user's, is still being written, or of an open text that is the
   * prompt itself (`raw`), in a frame where one is given. Renders the template and tokenises the conversation once. Its tokens are those of the final
   * request as far as both reach, unless the template does something else with that message than with others.
   * @throws IncipitError `chat_template` for a conversation without a template, `invalid_request` for tokens of the frame
   *   outside the vocabulary. One that the template rejects is an
   *   `OpenPrompt` without tokens: the request itself will say why.
   */
  open(messages: readonly ChatMessage[] | 'raw', frame?: PromptFrame, template: ChatTemplateOptions = {}): OpenPrompt {
    if (messages === 'raw') {
      const head = frame ? this.#pieces(frame.before) : undefined
      return this.#openPrompt('', (text) => this.#vocab.tokenize(text), head)
    }
    const specials = this.#specials
    const place = this.#template.contentPlace(
      [...hidden(messages, specials), { role: 'user', content: '' }],
      hiddenOptions(template, specials),
    )
    if (place === undefined) return { tokens: () => [] }
    const open = this.#openPrompt(place.before, (text) => specials.tokens(text))
    return {
      tokens(text) {
        const start = place.trimsStart ? text.trimStart() : text
        return open.tokens(specials.hide(place.trimsEnd ? start.trimEnd() : start))
      },
    }
  }

  /**
   * The prompt text of a conversation, as the model's chat template renders it.
   * @throws IncipitError `chat_template`
   */
  renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string {
    return this.#template.render(messages, options)
  }

  /** Tokens of texts and token ids, nothing in front of them. */
  #pieces(pieces: readonly PromptPiece[], special = false): number[] {
    const vocab = this.#vocab
    return pieces.flatMap((piece) => {
      if (typeof piece === 'string') return vocab.tokenize(piece, { special })
      vocab.bytesOf(piece)
      return piece
    })
  }

  /** @param head tokens in front of it. Default: the one that every prompt of this model begins with */
  #openPrompt(before: string, encode: (text: string) => number[], head?: readonly number[]): OpenPrompt {
    const { bos, addsBos } = this.#vocab
    const first = head ?? (addsBos ? [bos] : [])
    const text = new IncrementalTokenizer(this.#cuts, encode, before.slice(0, this.#longest))
    const most = Math.max(this.#longest - before.length, 0)
    return {
      tokens(open) {
        const tokens = first.concat(text.tokens(open.slice(0, most)))
        tokens.pop()
        return tokens
      },
    }
  }

  get #template(): ChatTemplate {
    if (this.#chatTemplate === undefined) {
      throw new IncipitError('chat_template', `${this.#modelName} carries no chat template; use a raw prompt`)
    }
    return this.#chatTemplate
  }
}
