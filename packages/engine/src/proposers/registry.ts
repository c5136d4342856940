import type { ModelInfo } from '../api/model-info.ts'
import { type Policy, showsGuesses } from '../api/policies.ts'
import { type ProposerName, proposerNames } from '../api/proposer-names.ts'
import type { GenerateRequest } from '../api/request.ts'
import type { Tier } from '../api/tiers.ts'
import type { HeadGuess } from '../core/executor.ts'
import { canSpeculate, type SequenceMemory, verifiesFromCheckpoints } from '../core/kv/sequence-memory.ts'
import type { TokenChooser } from '../core/sampling/token-chooser.ts'
import type { Acceptances } from './acceptances.ts'
import { GrammarProposer } from './grammar.ts'
import { HeadsProposer } from './heads.ts'
import { Lookup, lookupAcceptance } from './lookup.ts'
import { Opening, type Openings } from './opening.ts'
import { Prediction, predictedText, predictionAcceptance } from './prediction.ts'
import type { CommittedText, Proposer } from './proposer.ts'

/** What of a model and its options decides who can guess. A text says why not. */
export interface ModelFacts {
  /** The architecture can keep snapshots of recurrent states. */
  readonly snapshots: boolean
  readonly memory: SequenceMemory
  /** Where the calibration of lookaheads comes from. */
  readonly skimNote: string
  /** What the exit is, or why there is none. */
  readonly exit: { readonly note: string } | string
  /** The model that drafts, or none. */
  readonly draftModel: { readonly name: 'draft' | 'experts' | 'mtp'; readonly note?: string } | undefined
  readonly heads: boolean
  /** Why the model's own prediction layer does not draft. */
  readonly noMtp: string | undefined
}

/** What a proposer of one request is made of. */
export interface ProposerParts {
  readonly request: GenerateRequest
  readonly chooser: TokenChooser
  /** Kind of request, as acceptance is counted. */
  readonly kind: string
  readonly acceptances: Acceptances
  readonly openings: Openings
  /** True for tokens that end a reply. */
  readonly ends: (token: number) => boolean
  readonly tokenize: (text: string) => readonly number[]
  /** What trained heads guess after the token that follows this one. */
  readonly headGuesses: (index: number) => readonly HeadGuess[] | undefined
}

type Availability = ModelInfo['proposers'][ProposerName]

/** One way to guess: whether a model can be guessed so, and the proposer of a request, where each has one of its own. */
interface Entry {
  /** Guesses first tokens only: that is of use to those who see guesses. */
  readonly firstToken?: true
  available(facts: ModelFacts): Availability
  /** The proposer of a request; undefined where the request gives it nothing to work with. */
  create?(parts: ProposerParts): Proposer | undefined
}

/** Guesses have to be taken back where they were wrong, also behind a prompt that is still being computed. */
const anywhere = ({ memory, snapshots }: ModelFacts): Availability => {
  if (canSpeculate(memory)) return { available: true }
  const why = !memory.recurrent
    ? 'its cache keeps one window, which no guess can be taken back from'
    : snapshots
      ? 'snapshots to take a wrong guess back to were left out'
      : 'its memory keeps no snapshots to take a wrong guess back to'
  return { available: false, note: why }
}

/** Or, while a reply goes on, at a checkpoint. */
const inReplies = (facts: ModelFacts): Availability =>
  verifiesFromCheckpoints(facts.memory)
    ? { available: true, note: 'taken back at checkpoints: only where it is likely to be right' }
    : anywhere(facts)

const draftModel =
  (name: ProposerName, missing: (facts: ModelFacts) => string) =>
  (facts: ModelFacts): Availability => {
    if (facts.draftModel?.name !== name) return { available: false, note: missing(facts) }
    const { note } = facts.draftModel
    return note === undefined ? { available: true } : { available: true, note }
  }

const entries: Readonly<Record<ProposerName, Entry>> = {
  opening: {
    firstToken: true,
    available: anywhere,
    create: ({ openings, request, acceptances, kind, ends }) =>
      new Opening(openings, request.cacheSalt ?? '', acceptances, kind, ends),
  },
  skim: {
    firstToken: true,
    // What it says stands at the prompt's end, and may be wrong.
    available: (facts) => (canSpeculate(facts.memory) ? { available: true, note: facts.skimNote } : anywhere(facts)),
  },
  exit: {
    available: ({ exit }) =>
      typeof exit === 'string' ? { available: false, note: exit } : { available: true, note: exit.note },
  },
  // Of two that expect as much the first one is taken: what is certain, then what was said, then what was learnt.
  grammar: {
    available: inReplies,
    create: ({ chooser, ends }) => {
      if (!chooser.constrained) return undefined
      const forced = ({ tokens, prompt, committed }: CommittedText) =>
        chooser.forced({ tokens, start: prompt, end: committed, committed })
      return new GrammarProposer(forced, ends)
    },
  },
  prediction: {
    available: inReplies,
    create: ({ request: { prediction }, tokenize, acceptances, kind, ends }) => {
      if (prediction === undefined) return undefined
      const text = typeof prediction === 'string' ? prediction : predictedText(prediction)
      return new Prediction(tokenize(text), predictionAcceptance(acceptances, kind), ends)
    },
  },
  lookup: {
    available: inReplies,
    create: ({ acceptances, kind, ends }) => new Lookup(lookupAcceptance(acceptances, kind), ends),
  },
  heads: {
    available: ({ heads, exit }) => {
      if (heads) return { available: true }
      const note = typeof exit === 'string' ? 'the model has no exit' : 'no file of heads given'
      return { available: false, note }
    },
    create: ({ headGuesses, acceptances, kind, ends }) => new HeadsProposer(headGuesses, acceptances, kind, ends),
  },
  draft: { available: draftModel('draft', () => 'no draft model given') },
  experts: { available: draftModel('experts', () => 'the number of active experts was not given') },
  mtp: { available: draftModel('mtp', ({ noMtp }) => noMtp ?? 'another model drafts') },
}

/** Which proposers can run on a model, and for those that cannot, why. */
export function availability(facts: ModelFacts): ModelInfo['proposers'] {
  const all = proposerNames.map((name) => [name, entries[name].available(facts)] as const)
  return Object.fromEntries(all) as ModelInfo['proposers']
}

/**
 * Who may guess for a request.
 * @param wanted what the request names; default: all that gain it something
 */
export function allowedProposers(
  wanted: readonly ProposerName[] | undefined,
  policy: Policy,
  tier: Tier,
  available: ModelInfo['proposers'],
): ReadonlySet<ProposerName> {
  if (!tier.speculates) return new Set()
  const names = wanted ?? proposerNames.filter((name) => showsGuesses(policy) || !entries[name].firstToken)
  return new Set(names.filter((name) => available[name].available))
}

/** The proposers of later tokens that a request has for itself. */
export function createProposers(allowed: ReadonlySet<ProposerName>, parts: ProposerParts): Proposer[] {
  const names = Object.keys(entries) as ProposerName[]
  return names.flatMap((name) =>
    allowed.has(name) && !entries[name].firstToken ? (entries[name].create?.(parts) ?? []) : [],
  )
}

/** How replies began: everybody's are learnt from, also of those who did not ask for guesses. */
export function createOpening(
  tier: Tier,
  available: ModelInfo['proposers'],
  parts: ProposerParts,
): Proposer | undefined {
  return tier.speculates && available.opening.available ? entries.opening.create?.(parts) : undefined
}
