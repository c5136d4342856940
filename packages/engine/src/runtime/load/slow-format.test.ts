import assert from 'node:assert/strict'
import { test } from 'node:test'
import { model } from '../../../test/fixtures/gguf.ts'
import { readGguf } from '../../gguf/index.ts'
import { slowFormat } from './slow-format.ts'

const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const stories = model('stories260K.gguf')

test('most of the weights decide', { skip: smol.skip || stories.skip }, async () => {
  const gguf = await readGguf(smol.path)
  assert.equal(slowFormat(gguf), 'q4_1')
  assert.equal(slowFormat({ tensors: gguf.tensors.filter(({ name }) => name.includes('embd')) }), undefined)
  assert.equal(slowFormat(await readGguf(stories.path)), undefined)
})
