import assert from 'node:assert/strict'
import { it } from 'node:test'
import { incipit, prelude } from './helpers/command.ts'

it('doctor says what was found and chosen', async () => {
  const { code, stdout, stderr } = await incipit(['doctor'], { env: { INCIPIT_MODEL: prelude, HF_TOKEN: 'hf_secret' } })
  assert.deepEqual([code, stderr], [0, ''])
  for (const row of [
    /^incipit \d+\.\d+\.\d+$/m,
    /^ {2}node +v\d+/m,
    /^ {2}cpu +.+ cores/m,
    /^ {2}memory +.+ available now/m,
    /^ {2}llama\.cpp +v\d+\.\d+\.\d+ of /m,
    /^ {2}cpu variant +\S+/m,
    /^ {2}devices +CPU: /m,
    /^ {2}gpu +\S+/m,
    /^ {2}store +.+: \d+ models/m,
    /^ {2}model +.+prelude-nano.+, chosen by INCIPIT_MODEL/m,
    /^ {2}cache +.+ it can be written/m,
    /HF_TOKEN is set/,
  ])
    assert.match(stdout, row)
  assert.doesNotMatch(stdout, /hf_secret/)
})

it('doctor says what fails, looks at everything else, and ends with 1', async () => {
  const { code, stdout } = await incipit(['doctor'], { env: { INCIPIT_LLAMA_LIB: '/nowhere', INCIPIT_MODEL: 'none' } })
  assert.equal(code, 1)
  assert.match(stdout, /^ {2}llama\.cpp +FAILED: .*\/nowhere.* \(native_library\)$/m)
  assert.match(stdout, /^ {2}model +FAILED: .* \(model_not_found\)$/m)
  assert.match(stdout, /^ {2}cache +/m)
})
