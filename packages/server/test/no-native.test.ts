import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'

test('the server brings no native library of its own: the engine that it is given does', () => {
  const script = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier === 'koffi') throw new Error('koffi was loaded')
        return next(specifier, context)
      },
    })
    await import('@incipit/server')
    await import('@incipit/engine').catch((error) => process.stdout.write(error.message))`
  const args = ['--input-type=module', '--eval', script]
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: import.meta.dirname, encoding: 'utf8' })
  assert.deepEqual([stdout, stderr], ['koffi was loaded', ''])
})
