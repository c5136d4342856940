import { IncipitError } from '../api/errors.ts'
import { metadataString, readGguf } from '../gguf/index.ts'
import { Handle } from './handle.ts'
import { library, withLog } from './library.ts'
import type { Model } from './model.ts'

/** A LoRA adapter in memory: small matrices whose product is added to weights of its model (Hu et al. 2021). */
export class LoraAdapter implements Disposable {
  /** Only for use inside `llama/`. */
  readonly handle: Handle

  private constructor(handle: Handle) {
    this.handle = handle
  }

  /**
   * Loads an adapter for a model, before any context of that is made: its graph must have room for it.
   * @throws IncipitError `model_not_found`, `model_invalid`; `adapter_mismatch` for what is no LoRA adapter, or one of
   *   another model
   */
  static async load(model: Model, path: string): Promise<LoraAdapter> {
    const { metadata } = await readGguf(path)
    const refused = (why: string) => new IncipitError('adapter_mismatch', `the adapter ${path} ${why}`)
    const text = (key: string) => metadataString(metadata, key)
    if (text('general.type') !== 'adapter' || text('adapter.type') !== 'lora') throw refused('is no LoRA adapter')
    const architecture = text('general.architecture')
    if (architecture !== model.architecture) {
      throw refused(`is for the architecture '${architecture}', and ${model.path} is of '${model.architecture}'`)
    }
    // It is in force from some words of the prompt on only.
    if (metadata.has('adapter.alora.invocation_tokens')) throw refused('is an activated one, which is not supported')
    // llama.cpp ends the process for another type.
    if ((metadata.get('adapter.lora.alpha')?.type ?? 'f32') !== 'f32') throw refused('has an alpha that is no f32')
    const lib = library()
    const { result: pointer, errors } = withLog(() => lib.adapterLoad(model.handle.pointer, path))
    if (!pointer) {
      const [, reason = errors] = /failed to apply lora adapter: (.*)$/s.exec(errors) ?? []
      throw refused(`does not fit ${model.path}: ${reason}`)
    }
    const release = model.handle.hold()
    return new LoraAdapter(
      new Handle(`the adapter ${path}`, pointer, (adapter) => {
        lib.adapterFree(adapter)
        release()
      }),
    )
  }

  [Symbol.dispose](): void {
    this.handle[Symbol.dispose]()
  }
}
