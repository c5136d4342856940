/** What a text must look like. Plain data. */
export type Declared =
  | {
      readonly type: 'json_schema'
      readonly schema: unknown
      /** What of the schema cannot be enforced is left out instead of refused. */
      readonly lenient?: boolean | undefined
    }
  | { readonly type: 'regex'; readonly pattern: string }
  | {
      readonly type: 'grammar'
      readonly grammar: string
      /** llama.cpp's notation, or llguidance's dialect of Lark. Default: GBNF where there is a `::=`. */
      readonly syntax?: 'gbnf' | 'lark' | undefined
    }
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  | {
      readonly type: 'structural_tag'
      /** Each begins with one of the triggers. */
      readonly tags: readonly StructuralTag[]
      /** Texts that begin a tag. All other text is free. */
      readonly triggers: readonly string[]
      /** A tag at once and nothing but tags; without it none has to come. */
      readonly atLeastOne?: boolean | undefined
      /** The text ends with the first tag. */
      readonly stopAfterFirst?: boolean | undefined
      /** Nothing but tags, or no tag and a value of this schema: no text is free. */
      readonly otherwise?: { readonly schema: unknown; readonly lenient?: boolean | undefined } | undefined
    }
  /** Nothing but tags: any number of `before`, then one of `last`. A model that speaks in channels says a whole reply so. */
  | { readonly type: 'channels'; readonly before: readonly StructuralTag[]; readonly last: readonly StructuralTag[] }

/**
 * A part of a text that must look so: what it begins with, what it ends with, and what stands between: a value of `schema`,
 * or `parts`, or any number of `items`, or else text up to its end.
 */
export interface StructuralTag {
  readonly begin: string
  readonly end: string
  readonly schema?: unknown
  /** As of a `json_schema`. */
  readonly lenient?: boolean | undefined
  /** One after the other. */
  readonly parts?: readonly TagPart[] | undefined
  readonly items?: StructuralTag | undefined
  /** Stands between parts, or items. */
  readonly separator?: string | undefined
  /** The text between, as a regular expression. Default: any. */
  readonly pattern?: string | undefined
}

export interface TagPart extends StructuralTag {
  /** It may be missing. */
  readonly optional?: boolean | undefined
}
