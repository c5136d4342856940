export {
  type Constraint,
  type ConstraintCompiler,
  type ConstraintState,
  constraintTypes,
  type StructuralTag,
  type TagPart,
  type TokenMask,
} from './constraint.ts'
export type { CostProfile } from './cost-profile.ts'
export type * from './embedder-api.ts'
export type * from './engine-api.ts'
export type * from './engine-options.ts'
export { type ErrorCode, errorCodes, IncipitError } from './errors.ts'
export type * from './events.ts'
export { type FimFamily, type FimOrder, type FimTokens, fimFamilies, fimFamily, fimFrame } from './fim.ts'
export { fimPieces } from './fim-text.ts'
export type * from './generation.ts'
export type * from './input-options.ts'
export { biasPairs, type LogitBias } from './logit-bias.ts'
export type * from './model-info.ts'
export { nativeThreads } from './native-threads.ts'
export { isLossy, type Policy, policies, showsGuesses } from './policies.ts'
export { type ProposerName, proposerNames } from './proposer-names.ts'
export { type ReasoningMarkers, reasoningAt } from './reasoning.ts'
export type * from './request.ts'
export type { EngineStats } from './stats.ts'
export { type Tier, type TierName, tierNames, tiers } from './tiers.ts'
export type * from './vocabulary.ts'
export type * from './watch.ts'
export { type WeightFormat, weightFormats } from './weight-formats.ts'
