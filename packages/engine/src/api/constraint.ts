import type { Vocabulary } from './vocabulary.ts'

/** What a reply must look like, as a request declares it. Plain data: it crosses a process. */
export type Constraint =
  /** A value of this JSON schema. */
  | {
      readonly type: 'json_schema'
      readonly schema: unknown
      /** What of the schema cannot be enforced is left out instead of refused. Default false. */
      readonly lenient?: boolean | undefined
    }
  /** Text that this regular expression matches whole. */
  | { readonly type: 'regex'; readonly pattern: string }
  /** Text of this grammar. */
  | {
      readonly type: 'grammar'
      readonly grammar: string
      /** llama.cpp's notation, or llguidance's dialect of Lark. Default: GBNF where there is a `::=`. */
      readonly syntax?: 'gbnf' | 'lark' | undefined
    }
  /** One of these texts. */
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  /** Free text in which each of the triggers begins one of the tags. */
  | {
      readonly type: 'structural_tag'
      readonly tags: readonly StructuralTag[]
      readonly triggers: readonly string[]
      /** A tag at once and nothing but tags; without it none has to come. */
      readonly atLeastOne?: boolean | undefined
      /** The reply ends with the first tag. */
      readonly stopAfterFirst?: boolean | undefined
      /** Nothing but tags, or no tag and a value of this schema: no text is free. */
      readonly otherwise?: { readonly schema: unknown; readonly lenient?: boolean | undefined } | undefined
    }
  /**
   * Nothing but tags: any number of `before`, then one of `last`. A model that speaks in channels says a whole reply so,
   * its reasoning included.
   */
  | { readonly type: 'channels'; readonly before: readonly StructuralTag[]; readonly last: readonly StructuralTag[] }

/**
 * A part of a reply: what it begins with (in a `structural_tag` one of the triggers first), what it ends with, and what
 * stands between: a value of `schema`, or `parts`, or any number of `items`, or else text up to its end.
 */
export interface StructuralTag {
  readonly begin: string
  readonly end: string
  /** A JSON schema. */
  readonly schema?: unknown
  /** As of a `json_schema`. */
  readonly lenient?: boolean | undefined
  /** One after the other. */
  readonly parts?: readonly TagPart[] | undefined
  readonly items?: StructuralTag | undefined
  /** Stands between parts, or items. */
  readonly separator?: string | undefined
  /** The text between, as a regular expression (Rust's syntax). Default: any. */
  readonly pattern?: string | undefined
}

export interface TagPart extends StructuralTag {
  /** It may be missing. */
  readonly optional?: boolean | undefined
}

export const constraintTypes: readonly Constraint['type'][] = [
  'json_schema',
  'regex',
  'grammar',
  'choice',
  'structural_tag',
  'channels',
]

/** A set of tokens: bit t % 32 of word t / 32 is 1 for token t. */
export type TokenMask = Uint32Array

/**
 * A constraint while a reply is made: where in it the reply is, and what may follow. Incremental, because it is asked at
 * every row, drafts' rows too: it moves with the text and goes back with it.
 */
export interface ConstraintState extends Partial<Disposable> {
  /**
   * Tokens that may follow, or undefined when all may. Never the empty set: when the reply is complete, the tokens that
   * end a reply may follow. Valid until the state moves.
   */
  mask(): TokenMask | undefined
  /** Tokens that must follow: each the only one allowed in its place. Empty when there is a choice. */
  forced(): readonly number[]
  /** How many of these tokens may follow in a row; where it is missing, masks are asked one after the other. */
  allowedLength?(tokens: readonly number[]): number
  /** The reply goes on with this token, which `mask()` allowed. */
  advance(token: number): void
  /** Takes the last `count` tokens back. */
  rollback(count: number): void
  /** A state of its own at the same place. */
  fork(): ConstraintState
  // [Symbol.dispose]: the reply is over, nothing is asked any more.
}

/**
 * Compiles what a request declares for a model's vocabulary.
 * @throws IncipitError `invalid_request` for what it cannot compile
 */
export type ConstraintCompiler = (
  declared: Constraint,
  vocabulary: Vocabulary & {
    /** Text to tokens, as the model reads it. Text such as `<|im_end|>` is text. */
    tokenize(text: string): readonly number[]
    /** Control tokens by their text. */
    readonly controlTokens: ReadonlyMap<string, number>
  },
) => ConstraintState
