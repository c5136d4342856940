import type { Vocabulary } from './vocabulary.ts'

/** What a reply must look like, as a request declares it. Plain data: it crosses a process. */
export type Constraint =
  /** A value of this JSON schema. */
  | { readonly type: 'json_schema'; readonly schema: unknown }
  /** Text that this regular expression matches whole. */
  | { readonly type: 'regex'; readonly pattern: string }
  /** Text of this grammar. */
  | { readonly type: 'grammar'; readonly grammar: string }
  /** One of these texts. */
  | { readonly type: 'choice'; readonly choices: readonly string[] }

export const constraintTypes: readonly Constraint['type'][] = ['json_schema', 'regex', 'grammar', 'choice']

/** A set of tokens: bit t % 32 of word t / 32 is 1 for token t. */
export type TokenMask = Uint32Array

/**
 * A constraint while a reply is made: where in it the reply is, and what may follow. Incremental, because it is asked at
 * every row, drafts' rows too: it moves with the text and goes back with it.
 */
export interface ConstraintState {
  /**
   * Tokens that may follow, or undefined when all may. Never the empty set: when the reply is complete, the tokens that
   * end a reply may follow. Valid until the state moves.
   */
  mask(): TokenMask | undefined
  /** Tokens that must follow: each the only one allowed in its place. Empty when there is a choice. */
  forced(): readonly number[]
  /** The reply goes on with this token, which `mask()` allowed. */
  advance(token: number): void
  /** Takes the last `count` tokens back. */
  rollback(count: number): void
  /** A state of its own at the same place. */
  fork(): ConstraintState
}

/**
 * Compiles what a request declares for a model's vocabulary.
 * @throws IncipitError `invalid_request` for what it cannot compile
 */
export type ConstraintCompiler = (declared: Constraint, vocabulary: Vocabulary) => ConstraintState
