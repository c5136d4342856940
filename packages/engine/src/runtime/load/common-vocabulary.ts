import { IncipitError } from '../../api/errors.ts'
import { type Gguf, type GgufStrings, metadataString } from '../../gguf/index.ts'

// Models of one family pad their vocabularies to different lengths; the tokens behind the shorter one are never text.
const maxPadding = 1024

/**
 * Tokens of a draft model mean something to another model only if both have the same vocabulary: the same text for every
 * id. Ends of different padding are allowed.
 * @returns number of tokens that both have
 * @throws IncipitError `draft_mismatch`, with the first difference
 */
export function commonVocabulary(target: Gguf, draft: Gguf): number {
  const refuse = (why: string) =>
    new IncipitError('draft_mismatch', `${draft.path} has another vocabulary than ${target.path}: ${why}`)
  const kinds = [target, draft].map(({ metadata }) => metadataString(metadata, 'tokenizer.ggml.model'))
  if (kinds[0] !== kinds[1]) throw refuse(`a tokenizer of kind '${kinds[1]}' instead of '${kinds[0]}'`)
  const [wanted, given] = [tokensOf(target), tokensOf(draft)]
  if (wanted === undefined || given === undefined) throw refuse('one of them has none')
  if (Math.abs(wanted.length - given.length) > maxPadding) {
    throw refuse(`${given.length} tokens instead of ${wanted.length}`)
  }
  const common = Math.min(wanted.length, given.length)
  const [a, b] = [wanted.slice(0, common), given.slice(0, common)]
  if (Buffer.compare(a.encoded, b.encoded) === 0) return common
  for (let token = 0; token < common; token++) {
    const [expected, found] = [a.at(token), b.at(token)]
    if (expected !== found) {
      throw refuse(`token ${token} is ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`)
    }
  }
  throw refuse('tokens with different bytes that are not UTF-8')
}

function tokensOf({ metadata }: Gguf): GgufStrings | undefined {
  const value = metadata.get('tokenizer.ggml.tokens')
  return value?.type === 'array' && value.of === 'string' ? value.value : undefined
}
