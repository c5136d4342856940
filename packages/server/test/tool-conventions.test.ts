import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import type { Engine } from '@incipit/engine'
import OpenAI from 'openai'
import { type Altered, chatModel, loaded, missing, shallow, smol } from './models.ts'
import { serve } from './serve.ts'

/*
 * How large models call tools, on SmolLM2 with templates that write as theirs do. What it says makes no sense; that every
 * call is whole, typed and one of theirs does not hang on the model.
 */

const skip = missing(chatModel)
const timeout = 120_000

const turn = (body: string) => `{% for m in messages %}<|im_start|>{{ m.role }}
${body}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`
const declared = '{% if tools %}{% for t in tools %}{{ t.function | tojson }}\n{% endfor %}{% endif %}'

const xml = `${declared}${turn(`{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}
<tool_call>
<function={{ c.function.name }}>
{% for name, value in c.function.arguments.items() %}<parameter={{ name }}>
{{ value }}
</parameter>
{% endfor %}</function>
</tool_call>{% endfor %}{% endif %}`)}`

const gemma = `${declared}${turn(
  '{{ m.content }}{% if m.tool_calls %}<|tool_call>call:{{ m.tool_calls[0].function.name }}{}<tool_call|>{% endif %}',
)}`

const harmony = `${declared}{% for message in messages %}{% if message.tool_calls %}
{% if message.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif %}
<|start|>assistant to=functions.{{ message.tool_calls[0].function.name }}<|channel|>commentary json<|message|>
{{ message.tool_calls[0].function.arguments | tojson }}<|call|>
{% elif message.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ message.content }}<|end|>
{% else %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endif %}{% endfor %}
{% if add_generation_prompt %}<|start|>assistant{% endif %}`

const book = {
  type: 'function' as const,
  function: {
    name: 'book_table',
    description: 'Books a table.',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', maxLength: 12 },
        guests: { type: 'integer', minimum: 1, maximum: 9 },
        inside: { type: 'boolean' },
        kind: { enum: ['bar', 'café'] },
      },
      required: ['city', 'guests', 'inside', 'kind'],
      additionalProperties: false,
    },
    strict: true,
  },
}
const messages = [{ role: 'user' as const, content: 'A table for four in Paris, please.' }]

function assertBooking(json: string): void {
  const { city, guests, inside, kind, ...rest } = JSON.parse(json)
  assert.ok(typeof city === 'string' && [...city].length <= 12, json)
  assert.ok(Number.isInteger(guests) && guests >= 1 && guests <= 9, json)
  assert.ok(typeof inside === 'boolean' && ['bar', 'café'].includes(kind), json)
  assert.deepEqual(rest, {})
}

const client = async (t: TestContext, engine: Engine) => {
  const { url } = await serve(t, engine)
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
}

/** @param towards what a call begins with, where the model has a choice */
function callsTools(name: string, model: Altered, towards?: string): () => Engine {
  const engine = loaded(model, { contextLength: 1024, constraints: compile })
  const request = () => ({
    model: 'any',
    messages,
    tools: [book],
    tool_choice: 'required' as const,
    parallel_tool_calls: false,
    temperature: 0,
    max_tokens: 120,
    ...(towards !== undefined && { logit_bias: { [engine().tokenize(towards)[0]!]: 100 } }),
  })

  test(`${name}: a call is enforced, whole and streamed`, { skip, timeout }, async (t) => {
    const openai = await client(t, engine())
    const { choices } = await openai.chat.completions.create(request())
    const { message, finish_reason } = choices[0]!
    assert.equal(finish_reason, 'tool_calls')
    const [call] = message.tool_calls!
    assert.ok(call?.type === 'function' && call.function.name === 'book_table')
    assertBooking(call.function.arguments)

    let json = ''
    let pieces = 0
    for await (const { choices } of await openai.chat.completions.create({ ...request(), stream: true })) {
      for (const piece of choices[0]!.delta.tool_calls ?? []) {
        json += piece.function?.arguments ?? ''
        pieces++
      }
      assert.ok(!choices[0]!.delta.content)
    }
    assert.equal(json, call.function.arguments)
    assert.ok(pieces > 4, `${pieces} pieces`)
  })

  test(`${name}: a call that a bound cuts off is no call`, { skip, timeout }, async (t) => {
    const openai = await client(t, engine())
    for (const max_tokens of [4, 16, 24]) {
      const { choices } = await openai.chat.completions.create({ ...request(), max_tokens })
      assert.equal(choices[0]!.finish_reason, 'length')
      assert.equal(choices[0]!.message.tool_calls, undefined)
    }
  })

  test(`${name}: calls and results are given to the template`, { skip, timeout }, async (t) => {
    const openai = await client(t, engine())
    const args = '{"city": "Paris", "guests": 4, "inside": true, "kind": "bar"}'
    const call = { id: 'call_1', type: 'function' as const, function: { name: 'book_table', arguments: args } }
    const { choices, usage } = await openai.chat.completions.create({
      ...request(),
      tool_choice: 'none',
      max_tokens: 4,
      messages: [
        ...messages,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content: 'Booked.' },
      ],
    })
    assert.equal(choices[0]!.message.tool_calls, undefined)
    assert.ok(usage!.prompt_tokens > 20)
  })
  return engine
}

callsTools('Qwen3-Coder', { ...shallow, template: xml })
callsTools('Gemma 4', { ...shallow, template: gemma })
const channels = callsTools('gpt-oss', { ...chatModel, template: harmony }, ' to')

/** It begins a thought where the few layers begin a call. */
const thinker = loaded({ from: smol, template: harmony }, { contextLength: 1024, constraints: compile })

const led = (engine: Engine, ...texts: string[]) => ({
  logit_bias: Object.fromEntries(texts.map((text) => [engine.tokenize(text)[0]!, 100])),
})

test('gpt-oss: what is thought is told apart from the answer', { skip, timeout }, async (t) => {
  const openai = await client(t, thinker())
  const request = { model: 'any', messages, temperature: 0, max_tokens: 24 }
  const properties = { sure: { type: 'boolean' } }
  const schema = { type: 'object', properties, required: ['sure'], additionalProperties: false }
  const form = { type: 'json_schema' as const, json_schema: { name: 'answer', schema, strict: true } }
  const answered = await openai.chat.completions.create({
    ...request,
    ...led(thinker(), 'final'),
    response_format: form,
  })
  assert.equal(typeof JSON.parse(answered.choices[0]!.message.content!).sure, 'boolean')
  for (const [form, expected] of [
    [{ guided_choice: ['yes (of course)', 'no'] }, /^(yes \(of course\)|no)$/],
    [{ guided_regex: '[0-9]{2}/[0-9]' }, /^[0-9]{2}\/[0-9]$/],
  ] as const) {
    for (const tools of [{}, { tools: [book] }]) {
      const body = { ...request, ...led(thinker(), 'final', '<', '<|'), ...form, ...tools }
      assert.match((await openai.chat.completions.create(body)).choices[0]!.message.content!, expected)
    }
  }
  const thinking = await openai.chat.completions.create({
    ...request,
    ...led(thinker(), 'analysis'),
    tools: [book],
  })
  const { content, reasoning_content } = thinking.choices[0]!.message as { content: string; reasoning_content?: string }
  assert.ok(!content)
  assert.ok(reasoning_content!.length > 0 && !reasoning_content!.includes('<|'))
})

test('gpt-oss: what is thought is bounded, and the answer follows', { skip, timeout }, async (t) => {
  const openai = await client(t, thinker())
  const body = { model: 'any', messages, temperature: 0, max_tokens: 60, tools: [book], thinking_budget_tokens: 4 }
  const { choices } = await openai.chat.completions.create({ ...body, ...led(thinker(), 'analysis') })
  const { content, reasoning_content } = choices[0]!.message as { content: string; reasoning_content?: string }
  const tokens = thinker().tokenize(reasoning_content!).length
  assert.ok(tokens >= 1 && tokens <= 7, reasoning_content)
  assert.ok(content.length > 0 && !content.includes('<|'), content)
})

test('gpt-oss: channels hold from the first word, reasoning is no way around them', { skip, timeout }, async () => {
  const last = [{ begin: 'yes', parts: [], end: '' }]
  let text = ''
  const request = { messages, constraint: { type: 'channels', before: [], last }, maxTokens: 8 } as const
  const { logit_bias: logitBias } = led(channels(), '<', '<|')
  for await (const event of channels().generate({ ...request, logitBias })) {
    if (event.type === 'delta') text += event.text
  }
  assert.equal(text, 'yes')
})

test('gpt-oss: earlier thoughts stand before the call that they led to', { skip, timeout }, async () => {
  const render = (content: string) =>
    channels().renderChat([
      { role: 'user', content: 'Hi' },
      {
        role: 'assistant',
        content,
        reasoning: 'I look.',
        toolCalls: [{ name: 'book_table', arguments: '{"guests": 4}' }],
      },
    ])
  assert.match(render(''), /analysis<\|message\|>I look\.<\|end\|>\s*<\|start\|>assistant to=functions\.book_table/)
  assert.match(render('One moment.'), /analysis<\|message\|>I look\.\n\nOne moment\.<\|end\|>/)
})
