import { architectureOf, type Gguf, layersOf, metadataNumber } from '../../gguf/index.ts'
import { Context, type ContextOptions } from '../../llama/context.ts'
import type { Model } from '../../llama/model.ts'
import { DraftRunner } from '../draft-runner.ts'

// Of the architectures whose prediction layer llama.cpp can run, those where it has been tried. It ends the process when a
// layer is not as it expects: no trying out of others.
const architectures = new Set(['glm4moe', 'hy_v3', 'qwen35', 'qwen35moe'])
// Their positions have several dimensions, which text does not use.
const textPositions = new Set(['qwen35', 'qwen35moe'])

/** Why the model's prediction layer cannot draft, or undefined when it can. */
export function whyNoMtp(gguf: Gguf): string | undefined {
  const architecture = architectureOf(gguf)
  const layers = metadataNumber(gguf.metadata, `${architecture}.nextn_predict_layers`) ?? 0
  if (layers === 0) return 'the model carries no prediction layer'
  if (!architectures.has(architecture))
    return `the prediction layer of the architecture '${architecture}' is not supported`
  if (layers > 1) return `the model carries ${layers} prediction layers; only a single one is supported`
  // Positions of several dimensions are laid out in another way when states come with the tokens.
  if (gguf.metadata.has(`${architecture}.rope.dimension_sections`) && !textPositions.has(architecture)) {
    return 'its positions have several dimensions'
  }
  const name = `blk.${layersOf(gguf) - 1}.nextn.eh_proj.weight`
  return gguf.tensors.some((tensor) => tensor.name === name)
    ? undefined
    : 'the file lacks the tensors of its prediction layer'
}

/**
 * The model's own prediction layer as a drafter. Of a token and the state before it, it makes logits for the token after
 * it, and a state to go on from. The verifying context must keep its states (`mtpStates`), and they must be fed.
 * @param model loaded with `mtp`, of a file that `whyNoMtp` has no objection to
 * @throws IncipitError as `Context` does
 */
export function mtpDrafter(model: Model, options: Omit<ContextOptions, 'mtp'>): DraftRunner {
  return new DraftRunner(new Context(model, { ...options, mtp: true }), model.vocab.size, 'mtp')
}
