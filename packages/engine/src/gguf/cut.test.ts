import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { allData, model, temporaryDirectory, tensorData, tinyModel } from '../../test/fixtures/gguf.ts'
import { cutStage, planCut, type StageCut } from './cut.ts'
import { GgufStrings, type GgufValue } from './metadata.ts'
import { type Gguf, readGguf } from './read.ts'
import { F32 } from './tensor-types.ts'

const hash = 'c0ffee00'.repeat(8)
const stories = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')

async function tiny(t: TestContext, options?: Parameters<typeof tinyModel>[1]): Promise<Gguf> {
  return tinyModel(join(await temporaryDirectory(t), 'tiny.gguf'), options)
}

async function cut(t: TestContext, gguf: Gguf, stage: Omit<StageCut, 'hash'>): Promise<Gguf> {
  const path = join(await temporaryDirectory(t), 'stage.gguf')
  await cutStage(gguf, { ...stage, hash }, path)
  return readGguf(path)
}

const names = (gguf: Gguf) => gguf.tensors.map(({ name }) => name)
const number = (value: number): GgufValue => ({ type: 'u32', value })
const list = (...value: number[]): GgufValue => ({ type: 'array', of: 'i32', value: Int32Array.from(value) })
const isZero = (hex: string | undefined) => hex !== undefined && /^0+$/.test(hex)

test('a cut gives consecutive stages that cover all layers', async (t) => {
  const gguf = await tiny(t)
  assert.deepEqual(planCut(gguf, []), [{ from: 0, to: 4, last: true }])
  assert.deepEqual(planCut(gguf, [1]), [
    { from: 0, to: 1, last: false },
    { from: 1, to: 4, last: true },
  ])
  assert.deepEqual(planCut(gguf, [1, 2, 3]), [
    { from: 0, to: 1, last: false },
    { from: 1, to: 2, last: false },
    { from: 2, to: 3, last: false },
    { from: 3, to: 4, last: true },
  ])
})

for (const at of [[0], [4], [-1], [1.5], [Number.NaN], [2, 2], [3, 1], [1, 9]]) {
  test(`a cut at [${at}] of 4 layers is no valid request`, async (t) => {
    const gguf = await tiny(t)
    assert.throws(() => planCut(gguf, at), { code: 'invalid_request', param: 'cut' })
  })
}

const refused: [string, Parameters<typeof tinyModel>[1], RegExp][] = [
  ['an architecture that reports no layer inputs', { architecture: 'phi3' }, /'phi3'/],
  ['next-token prediction layers', { metadata: { 'llama.nextn_predict_layers': number(1) } }, /prediction layers/],
  ['layers that share a KV cache', { metadata: { 'llama.attention.shared_kv_layers': number(2) } }, /KV cache/],
  ['an embedding per layer', { metadata: { 'llama.embedding_length_per_layer_input': number(256) } }, /per layer/],
  ['a stage', { metadata: { 'incipit.stage.from': number(0) } }, /stage of a model already/],
  ['a split model', { metadata: { 'split.count': number(3) } }, /several files/],
  ['layers without a known output', { perLayer: ['attn_norm.weight', 'mystery.weight'] }, /no identity/],
  ['a cut inside a period', { metadata: { 'llama.full_attention_interval': number(4) } }, /period 4, and 2/],
  ['a cut inside a period that the library implies', { architecture: 'qwen3next', layers: 8 }, /period 4, and 2/],
]
for (const [what, options, why] of refused) {
  test(`the cut is refused, and one stage is not: ${what}`, async (t) => {
    const gguf = await tiny(t, options)
    assert.throws(() => planCut(gguf, [2]), { code: 'cut_refused', message: why })
    assert.equal(planCut(gguf, []).length, 1)
  })
}

test('cuts at multiples of the period are allowed, and anywhere when an array names the layers', async (t) => {
  assert.equal(planCut(await tiny(t, { architecture: 'gpt-oss' }), [2]).length, 2)
  const gguf = await tiny(t, {
    architecture: 'qwen35',
    metadata: { 'qwen35.attention.recurrent_layers': list(1, 0, 1, 0) },
  })
  assert.equal(planCut(gguf, [1]).length, 2)
})

test('a file without architecture or layers is invalid', async (t) => {
  const gguf = await tiny(t)
  for (const key of ['general.architecture', 'llama.block_count']) {
    const metadata = new Map(gguf.metadata)
    metadata.delete(key)
    assert.throws(() => planCut({ ...gguf, metadata }, []), { code: 'model_invalid', message: new RegExp(key) })
  }
})

test('the first stage: its layers, then the next one as the identity', async (t) => {
  const gguf = await tiny(t)
  const stage = await cut(t, gguf, { from: 0, to: 2, last: false })
  const [before, after] = [await allData(gguf), await allData(stage)]
  assert.equal(stage.metadata.get('llama.block_count')?.value, 3)
  for (const name of names(gguf).filter((name) => /^blk\.[01]\./.test(name))) {
    assert.equal(after.get(name), before.get(name), name)
  }
  assert.equal(after.get('blk.2.attn_norm.weight'), before.get('blk.2.attn_norm.weight'))
  assert.equal(after.get('blk.2.attn_q.weight'), before.get('blk.2.attn_q.weight'))
  assert.ok(isZero(after.get('blk.2.attn_output.weight')))
  assert.ok(isZero(after.get('blk.2.ffn_down.weight')))
  assert.ok(!names(stage).some((name) => name.startsWith('blk.3.')))
  // It has no head of its own: the library falls back to the token embedding.
  assert.ok(!names(stage).includes('output.weight'))
  assert.equal(after.get('output_norm.weight'), before.get('output_norm.weight'))
})

test('a middle stage is numbered from 0', async (t) => {
  const gguf = await tiny(t)
  const stage = await cut(t, gguf, { from: 1, to: 3, last: false })
  const [before, after] = [await allData(gguf), await allData(stage)]
  assert.equal(after.get('blk.0.attn_output.weight'), before.get('blk.1.attn_output.weight'))
  assert.equal(after.get('blk.1.ffn_down.weight'), before.get('blk.2.ffn_down.weight'))
  assert.equal(after.get('blk.2.attn_q.weight'), before.get('blk.3.attn_q.weight'))
  assert.ok(isZero(after.get('blk.2.ffn_down.weight')))
  assert.equal(stage.tensors.length, 2 + 3 * 4)
})

test('the last stage: no identity, the output of the model', async (t) => {
  const gguf = await tiny(t)
  const stage = await cut(t, gguf, { from: 3, to: 4, last: true })
  const [before, after] = [await allData(gguf), await allData(stage)]
  assert.equal(stage.metadata.get('llama.block_count')?.value, 1)
  assert.equal(stage.tensors.length, 3 + 4)
  assert.equal(after.get('output.weight'), before.get('output.weight'))
  assert.equal(after.get('blk.0.ffn_down.weight'), before.get('blk.3.ffn_down.weight'))
})

test('a model with tied embeddings has a token embedding and no output in each stage', async (t) => {
  const gguf = await tiny(t, { global: ['token_embd.weight', 'output_norm.weight'] })
  for (const plan of planCut(gguf, [2])) {
    const stage = await cut(t, gguf, plan)
    assert.ok(names(stage).includes('token_embd.weight') && !names(stage).includes('output.weight'))
  }
})

test('an architecture that needs its output keeps it in each stage', async (t) => {
  const gguf = await tiny(t, { architecture: 'gpt-oss' })
  for (const plan of planCut(gguf, [2])) assert.ok(names(await cut(t, gguf, plan)).includes('output.weight'))
})

test('the identity of every kind of layer adds nothing', async (t) => {
  const outputs = [
    'attn_output.weight',
    'attn_output.bias',
    'ssm_out.weight',
    'shortconv.out_proj.weight',
    'ffn_down.bias',
    'ffn_down_exps.weight',
    'ffn_down_exps.bias',
    'ffn_down_shexp.weight',
    'ffn_down.7.weight',
  ]
  const others = ['attn_output_norm.weight', 'ffn_down_exps.scale', 'ffn_gate_inp.weight', 'ssm_in.weight']
  const gguf = await tiny(t, { perLayer: [...outputs, ...others, 'layer_output_scale.weight'] })
  const stage = await allData(await cut(t, gguf, { from: 0, to: 1, last: false }))
  for (const name of outputs) assert.ok(isZero(stage.get(`blk.1.${name}`)), name)
  for (const name of others) assert.equal(stage.get(`blk.1.${name}`), (await allData(gguf)).get(`blk.1.${name}`))
  assert.equal(stage.get('blk.1.layer_output_scale.weight'), Buffer.from(Float32Array.of(1, 1).buffer).toString('hex'))
})

test('arrays with one entry per layer are sliced, others are not', async (t) => {
  const strings: GgufValue = { type: 'array', of: 'string', value: GgufStrings.from(['a', 'b', 'c', 'd']) }
  const gguf = await tiny(t, {
    metadata: {
      'llama.attention.head_count_kv': list(10, 11, 12, 13),
      'llama.names': strings,
      'llama.rope.dimension_sections': list(1, 2, 3, 4),
      'llama.other': list(1, 2, 3),
      'tokenizer.ggml.token_type': list(1, 2, 3, 4),
      'llama.leading_dense_block_count': number(2),
    },
  })
  const values = async (stage: Omit<StageCut, 'hash'>) => {
    const { metadata } = await cut(t, gguf, stage)
    const array = (key: string) => Array.from(metadata.get(key)?.value as Iterable<unknown>)
    assert.deepEqual(array('llama.rope.dimension_sections'), [1, 2, 3, 4])
    assert.deepEqual(array('llama.other'), [1, 2, 3])
    assert.deepEqual(array('tokenizer.ggml.token_type'), [1, 2, 3, 4])
    const dense = metadata.get('llama.leading_dense_block_count')?.value
    return [array('llama.attention.head_count_kv'), array('llama.names'), dense]
  }
  assert.deepEqual(await values({ from: 0, to: 1, last: false }), [[10, 11], ['a', 'b'], 2])
  assert.deepEqual(await values({ from: 1, to: 3, last: false }), [[11, 12, 13], ['b', 'c', 'd'], 1])
  assert.deepEqual(await values({ from: 3, to: 4, last: true }), [[13], ['d'], 0])
})

test('a stage says what it is, and keeps general metadata and the type of the layer count', async (t) => {
  const gguf = await tiny(t, { metadata: { 'llama.block_count': { type: 'u64', value: 4n } } })
  const { metadata } = await cut(t, gguf, { from: 1, to: 3, last: false })
  assert.deepEqual(metadata.get('incipit.stage.from'), number(1))
  assert.deepEqual(metadata.get('incipit.stage.to'), number(3))
  assert.deepEqual(metadata.get('incipit.model.hash'), { type: 'string', value: hash })
  assert.deepEqual(metadata.get('general.name'), { type: 'string', value: 'tiny' })
  assert.deepEqual(metadata.get('llama.block_count'), { type: 'u64', value: 3n })
})

test('an exit head replaces the output, on an unweighted norm', async (t) => {
  const gguf = await tiny(t, {
    global: ['token_embd.weight', 'output_norm.weight', 'output_norm.bias', 'output.weight'],
  })
  const head = { type: F32, shape: [2], data: Buffer.from(Float32Array.of(7, 8).buffer) }
  const stage = await cut(t, gguf, { from: 0, to: 2, last: false, head })
  const data = await allData(stage)
  assert.equal(data.get('output.weight'), head.data.toString('hex'))
  assert.equal(data.get('output_norm.weight'), Buffer.from(Float32Array.of(1, 1).buffer).toString('hex'))
  assert.ok(!data.has('output_norm.bias'))
  assert.equal(data.get('token_embd.weight'), (await allData(gguf)).get('token_embd.weight'))
})

const exitWeights = (layer: number, tensors: readonly string[]): Record<string, GgufValue> => ({
  'incipit.exit.layer': number(layer),
  ...Object.fromEntries(
    tensors.map((name, i) => [
      `incipit.exit.weights.${name}`,
      { type: 'array', of: 'u8', value: new Uint8Array(8).fill(i + 1) } as const,
    ]),
  ),
})
const layerTensors = ['attn_norm.weight', 'attn_q.weight', 'attn_output.weight', 'ffn_down.weight']

test('the layer that a model carries for its exit stands where the identity would, at that exit only', async (t) => {
  const gguf = await tiny(t, { metadata: exitWeights(2, layerTensors) })
  const stage = await cut(t, gguf, { from: 0, to: 2, last: false })
  const [before, after] = [await allData(gguf), await allData(stage)]
  layerTensors.forEach((name, i) => {
    assert.equal(after.get(`blk.2.${name}`), `0${i + 1}`.repeat(8), name)
    assert.equal(after.get(`blk.1.${name}`), before.get(`blk.1.${name}`))
  })
  assert.ok(![...stage.metadata.keys()].some((key) => key.startsWith('incipit.exit.weights')))

  const elsewhere = await allData(await cut(t, gguf, { from: 0, to: 1, last: false }))
  assert.ok(isZero(elsewhere.get('blk.1.ffn_down.weight')))
  const above = await allData(await cut(t, gguf, { from: 1, to: 2, last: false }))
  assert.ok(isZero(above.get('blk.1.ffn_down.weight')))
  // A fitted head was fitted behind the identity.
  const head = { type: F32, shape: [2], data: new Uint8Array(8) }
  const fitted = await allData(await cut(t, gguf, { from: 0, to: 2, last: false, head }))
  assert.ok(isZero(fitted.get('blk.2.ffn_down.weight')))
})

test('an exit layer that lacks a tensor or has another size is refused', async (t) => {
  const missing = await tiny(t, { metadata: exitWeights(2, layerTensors.slice(1)) })
  const short: GgufValue = { type: 'array', of: 'u8', value: new Uint8Array(7) }
  const metadata = { ...exitWeights(2, layerTensors), 'incipit.exit.weights.attn_q.weight': short }
  for (const [gguf, message] of [
    [missing, /attn_norm\.weight is missing/],
    [await tiny(t, { metadata }), /attn_q\.weight has 7 bytes, not 8/],
  ] as const) {
    await assert.rejects(cut(t, gguf, { from: 0, to: 2, last: false }), { code: 'cut_refused', message })
  }
})

test('an exit head of another model is refused', async (t) => {
  const gguf = await tiny(t)
  const wrongShape = { type: F32, shape: [3], data: new Uint8Array(12) }
  const wrongLength = { type: F32, shape: [2], data: new Uint8Array(4) }
  for (const head of [wrongShape, wrongLength]) {
    await assert.rejects(cut(t, gguf, { from: 0, to: 2, last: false, head }), {
      code: 'cut_refused',
      message: /exit head/,
    })
  }
})

test('stories260K cut in two keeps every weight', { skip: stories.skip }, async (t) => {
  const gguf = await readGguf(stories.path)
  const before = await allData(gguf)
  const seen = new Set<string>()
  for (const plan of planCut(gguf, [2])) {
    const stage = await cut(t, gguf, plan)
    for (const [name, data] of await allData(stage)) {
      const layer = /^blk\.(\d+)\.(.*)/.exec(name)
      const original = layer === null ? name : `blk.${Number(layer[1]) + plan.from}.${layer[2]}`
      if (data === before.get(original)) seen.add(original)
      else assert.match(name, /^blk\.2\.(attn_output|ffn_down)\.weight$/)
    }
  }
  assert.deepEqual([...seen].sort(), names(gguf).sort())
})

test('a quantised model: the identity is zero blocks of the same type', { skip: smol.skip }, async (t) => {
  const gguf = await readGguf(smol.path)
  const stage = await cut(t, gguf, { from: 0, to: 8, last: false })
  const zeroed = stage.tensors.filter(({ name }) => /^blk\.8\.(attn_output|ffn_down)\.weight$/.test(name))
  assert.deepEqual(
    zeroed.map(({ type }) => type),
    [3, 3],
  )
  for (const tensor of zeroed) assert.ok((await tensorData(stage, tensor)).every((byte) => byte === 0))
  assert.equal(stage.tensors.length, 2 + 9 * 9)
  assert.deepEqual(stage.metadata.get('tokenizer.ggml.tokens'), gguf.metadata.get('tokenizer.ggml.tokens'))
})
