import type { Acceptance, CommittedText, Draft, Proposer } from '../proposers/proposer.ts'
import { maxDraft } from '../proposers/proposer.ts'
import type { ScriptedReply } from './scripted-reply.ts'

/** Drafts that are right as often as was asked for. Nobody is told how often: it is counted, as of any proposer. */
export class SampledDrafts implements Proposer {
  // Of those that cost nothing.
  readonly name = 'lookup'
  readonly #reply: ScriptedReply
  readonly #acceptance: Acceptance

  constructor(reply: ScriptedReply, acceptance: Acceptance) {
    this.#reply = reply
    this.#acceptance = acceptance
  }

  propose({ committed, prompt }: CommittedText): Draft | undefined {
    const tokens = this.#reply.draft(committed - prompt, maxDraft)
    if (tokens.length === 0) return undefined
    return { source: this.name, tokens, confidences: tokens.map((_, i) => this.#acceptance.at(i)) }
  }

  learn(_draft: Draft, offered: number, right: number): void {
    this.#acceptance.observe(offered, right)
  }
}
