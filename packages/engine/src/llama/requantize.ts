import { IncipitError } from '../api/errors.ts'
import type { WeightFormat } from '../api/weight-formats.ts'
import { library, withLog } from './library.ts'

// llama.h: LLAMA_FTYPE_MOSTLY_...
const fileTypes: Readonly<Record<WeightFormat, number>> = {
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ4_NL: 25,
}

/**
 * Writes a model with its weights in another format, on a worker thread. Some tensors keep a wider format, as llama.cpp
 * decides. Minutes for a large model.
 * @throws IncipitError `model_unsupported` when it cannot be done
 */
export async function requantize(from: string, to: string, format: WeightFormat, threads: number): Promise<void> {
  const lib = library()
  const params = {
    ...lib.quantizeDefaultParams(),
    nthread: threads,
    ftype: fileTypes[format],
    allow_requantize: true,
  }
  const failed = await new Promise<number>((resolve, reject) =>
    lib.quantizeModel.async(from, to, params, (error, result) => (error ? reject(error) : resolve(result))),
  )
  if (failed === 0) return
  // Again on this thread, to learn the reason.
  const { result, errors } = withLog(() => lib.quantizeModel(from, to, params))
  if (result !== 0) throw new IncipitError('model_unsupported', `${from} cannot be brought into ${format}: ${errors}`)
}
