// Preloaded into a command (`withoutNative`): whoever asks for the native library fails.
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, next) {
    if (specifier === 'koffi') throw new Error('koffi was loaded')
    return next(specifier, context)
  },
})
