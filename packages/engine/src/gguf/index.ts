export { defaultCacheDir, derived, derivedDir, modelHash } from './cache.ts'
export { architectureOf, cutStage, type ExitHead, layersOf, planCut, type StageCut, type StagePlan } from './cut.ts'
export { headWidth } from './head-width.ts'
export {
  type GgufArray,
  GgufStrings,
  type GgufValue,
  type Metadata,
  metadataNumber,
  metadataString,
  type NumericType,
} from './metadata.ts'
export { isForEmbeddings, poolingOf } from './pooling.ts'
export { type Gguf, type GgufTensor, readGguf } from './read.ts'
export { type StageFile, type StageHead, stageFiles } from './stage-files.ts'
export { F32, type TensorType, tensorBytes, tensorTypes } from './tensor-types.ts'
export { copyOf, type TensorData, type TensorToWrite, writeGguf, zeros } from './write.ts'
