/** A function that the model may call. */
export interface Tool {
  readonly name: string
  readonly description?: string | undefined
  /** JSON schema of its arguments. */
  readonly parameters: object
  /** Its arguments fulfil the whole schema; otherwise what cannot be enforced is left out. */
  readonly strict: boolean
}

/** Which tools a reply may, or must, call. */
export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string }
