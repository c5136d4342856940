/** A native address. koffi gives and takes them as BigInt; 0n is NULL. */
export type Pointer = bigint

/** A native function with its asynchronous form, which runs on a libuv thread. */
export interface NativeFunction<A extends unknown[], R> {
  (...args: A): R
  async(...args: [...A, (error: Error | null, result: R) => void]): void
}
