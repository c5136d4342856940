/** A piece of a reply as the dialects tell it. Pieces of one kind that follow each other are one text. */
export type Part =
  /** What the model thinks before it answers. */
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'content'; readonly text: string }
  /** A tool is called; its arguments follow. */
  | { readonly type: 'call'; readonly id: string; readonly name: string }
  /** JSON. */
  | { readonly type: 'arguments'; readonly text: string }
  /** The arguments are whole. A call that is cut off has no end. */
  | { readonly type: 'call_end' }

/** Tells the parts of a reply apart, which comes piece by piece, wherever the pieces end. */
export interface PartReader {
  /** Whether content may follow at once: guesses at it can be shown then. */
  readonly inContent: boolean
  readonly inReasoning: boolean
  feed(text: string): Part[]
  /** The reply is over: what was held back is what it is. */
  end(): Part[]
  /** For text that may be taken back. */
  clone(): PartReader
}
