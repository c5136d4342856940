import type { BatchStruct } from './layouts.ts'
import { library } from './library.ts'
import type { Model } from './model.ts'
import type { NativeFunction, Pointer } from './native.ts'

/**
 * `llama_decode` on a worker thread, until its results are there. A GPU only gets its work there: who reads results waits
 * for it, which would be this thread, and nobody would know how long it took.
 * @returns its code
 */
export async function decodeToEnd(context: Pointer, batch: BatchStruct, { offload }: Model): Promise<number> {
  const { decode, synchronize } = library()
  const code = await onWorker(decode, context, batch)
  if (offload !== undefined) await onWorker(synchronize, context)
  return code
}

function onWorker<A extends unknown[], R>(call: NativeFunction<A, R>, ...args: A): Promise<R> {
  return new Promise((resolve, reject) =>
    call.async(...args, (error, result) => (error ? reject(error) : resolve(result))),
  )
}
