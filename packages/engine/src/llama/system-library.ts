import koffi from 'koffi'
import type { NativeFunction, Pointer } from './native.ts'

// ucrtbase is part of Windows since 10.
const files: Partial<Record<NodeJS.Platform, string>> = {
  darwin: '/usr/lib/libSystem.B.dylib',
  linux: 'libc.so.6',
  win32: 'ucrtbase.dll',
}

/** What we need of the system's C library: functions that native threads may call, where no JavaScript can run. */
export interface SystemLibrary {
  /** memcpy from native memory into an array of ours. */
  copyFrom: NativeFunction<[target: ArrayBufferView, source: Pointer, bytes: number], Pointer>
  /** Address of strlen: a callback that reads bytes of ours, see `flag.ts`. */
  strlen: Pointer
  /** Address of a function that ignores its arguments and does nothing of note: getpid. */
  nothing: Pointer
}

export function systemLibrary(): SystemLibrary {
  const library = koffi.load(files[process.platform] ?? 'libc.so')
  return {
    copyFrom: library.func(
      'void *memcpy(void *target, void *source, size_t bytes)',
    ) as unknown as SystemLibrary['copyFrom'],
    strlen: library.symbol('strlen') as Pointer,
    nothing: library.symbol(process.platform === 'win32' ? '_getpid' : 'getpid') as Pointer,
  }
}
