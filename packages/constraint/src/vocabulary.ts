/** The tokens of a model. */
export interface Vocabulary {
  readonly size: number
  /** Bytes of a token as they stand in text; none for control tokens. */
  bytesOf(token: number): Uint8Array
  /** True for tokens that end a text. */
  isEndOfGeneration(token: number): boolean
}

/** What a text must look like. */
export type Declared =
  | { readonly type: 'json_schema'; readonly schema: unknown }
  | { readonly type: 'regex'; readonly pattern: string }
  /** In llguidance's Lark dialect. */
  | { readonly type: 'grammar'; readonly grammar: string }
  | { readonly type: 'choice'; readonly choices: readonly string[] }
