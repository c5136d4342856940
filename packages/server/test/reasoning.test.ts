import assert from 'node:assert/strict'
import { test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { chatModel, loaded, missing } from './models.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type Chunk, chunks, committed, serve } from './serve.ts'
import { thinkingTemplate } from './thinking-template.ts'

/*
 * A model that thinks in tags: SmolLM2 with a template that opens its reasoning, unless told not to. It closes no tag by
 * itself, so what it says is led there by a bias, by a constraint that begins behind the tag, or by a bound.
 */
const skip = missing(chatModel)
const timeout = 60_000
const engine = loaded({ ...chatModel, template: thinkingTemplate }, { contextLength: 512, constraints: compile })

const messages = [{ role: 'user', content: 'Is the sky blue? Answer yes or no.' }]
const off = { chat_template_kwargs: { enable_thinking: false } }
const choice = { guided_choice: ['yes', 'no'] }

interface Message {
  content: string
  reasoning_content?: string
}
const messageOf = ({ choices }: Chunk) => choices[0]!.message as unknown as Message

test('a prompt that opens the reasoning: what is said is reasoning, and told so whole and streamed', {
  skip,
  timeout,
}, async (t) => {
  const { post } = await serve(t, engine())
  const body = { messages, temperature: 0, max_tokens: 12 }
  const whole = messageOf((await (await post('/v1/chat/completions', body)).json()) as Chunk)
  assert.equal(whole.content, '')
  assert.ok(whole.reasoning_content!.length > 5)
  let reasoning = ''
  for (const { choices } of await chunks(await post('/v1/chat/completions', { ...body, stream: true }))) {
    const delta = choices[0]!.delta as Partial<Message>
    // No chunk has both.
    assert.ok(!(delta.content && delta.reasoning_content))
    reasoning += delta.reasoning_content ?? ''
  }
  assert.equal(reasoning, whole.reasoning_content)
  const none = messageOf(
    (await (await post('/v1/chat/completions', { ...body, reasoning_format: 'none' })).json()) as Chunk,
  )
  assert.equal(none.reasoning_content, undefined)
  // The marker that it began with stands in the prompt, and that which it ends with would stand here.
  assert.equal(none.content, `<think>${whole.reasoning_content}`)
  const raw = await chunks(await post('/v1/chat/completions', { ...body, reasoning_format: 'none', stream: true }))
  assert.equal(committed(raw), none.content)
})

test('a stop string within the reasoning ends it there, and nothing of it becomes content', {
  skip,
  timeout,
}, async (t) => {
  const { post } = await serve(t, engine())
  const body = { messages, temperature: 0, max_tokens: 12 }
  const free = messageOf((await (await post('/v1/chat/completions', body)).json()) as Chunk).reasoning_content!
  const word = free.trim().split(/\s+/)[2]!
  const stopped = { ...body, stop: [word] }
  const answer = (await (await post('/v1/chat/completions', stopped)).json()) as Chunk
  const { content, reasoning_content: reasoning } = messageOf(answer)
  assert.deepEqual([content, answer.choices[0]!.finish_reason], ['', 'stop'])
  assert.equal(reasoning!.trimEnd(), free.slice(0, free.indexOf(word)).trimEnd())
  const streamed = await chunks(await post('/v1/chat/completions', { ...stopped, stream: true }))
  const deltas = streamed.map(({ choices }) => (choices[0]?.delta ?? {}) as Partial<Message>)
  assert.equal(deltas.map((delta) => delta.reasoning_content ?? '').join(''), reasoning)
  assert.equal(committed(streamed), '')
})

test('thinking switched off: the answer is content', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  for (const way of [off, { enable_thinking: false }, { reasoning_effort: 'none' }]) {
    const body = { messages, temperature: 0, max_tokens: 4, ...way }
    const { content, reasoning_content: reasoning } = messageOf(
      (await (await post('/v1/chat/completions', body)).json()) as Chunk,
    )
    assert.ok(content.length > 0 && reasoning === undefined, JSON.stringify(way))
  }
})

test('a form of the reply holds for the answer, not for the reasoning before it', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  const body = { messages, temperature: 0, max_tokens: 8, ...choice }
  const direct = messageOf((await (await post('/v1/chat/completions', { ...body, ...off })).json()) as Chunk)
  assert.match(direct.content, /^(yes|no)$/)
  const thinking = messageOf((await (await post('/v1/chat/completions', body)).json()) as Chunk)
  assert.equal(thinking.content, '')
  // The end of its reasoning made likely: then the answer comes.
  const bias = Object.fromEntries(
    engine()
      .tokenize('</think>')
      .map((token) => [token, 100]),
  )
  const led = { ...body, max_tokens: 60, logit_bias: bias, frequency_penalty: 2 }
  const answered = messageOf((await (await post('/v1/chat/completions', led)).json()) as Chunk)
  assert.match(answered.content, /^(yes|no)$/)
})

test('reasoning that was long enough ends, and the answer follows', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  // So small a model may have nothing to answer.
  const body = { messages, temperature: 0, max_tokens: 24, min_tokens: 20 }
  // As many as asked for, and the few that a character takes; what is told of them has no white space at its ends.
  const assertBounded = (reasoning: string, content: string) => {
    const tokens = engine().tokenize(reasoning).length
    assert.ok(tokens >= 4 && tokens <= 9, `${tokens}: ${reasoning}`)
    assert.ok(content.length > 5 && !content.includes('think>'), `${reasoning} / ${content}`)
  }
  for (const budget of [{ thinking_budget_tokens: 6 }, { reasoning_budget_tokens: 6 }, { thinking_token_budget: 6 }]) {
    const whole = messageOf((await (await post('/v1/chat/completions', { ...body, ...budget })).json()) as Chunk)
    assertBounded(whole.reasoning_content!, whole.content)
    const streamed = await chunks(await post('/v1/chat/completions', { ...body, ...budget, stream: true }))
    const deltas = streamed.map(({ choices }) => (choices[0]?.delta ?? {}) as Partial<Message>)
    const all = (name: keyof Message) => deltas.map((delta) => delta[name] ?? '').join('')
    assertBounded(all('reasoning_content'), all('content'))
  }
  const none = messageOf(
    (await (await post('/v1/chat/completions', { ...body, thinking_budget_tokens: 0 })).json()) as Chunk,
  )
  assert.ok(none.content.length > 5 && !none.reasoning_content, JSON.stringify(none))
  const endless = messageOf(
    (await (await post('/v1/chat/completions', { ...body, thinking_budget_tokens: -1 })).json()) as Chunk,
  )
  assert.equal(endless.content, '')
  // The form of the answer begins behind it.
  const formed = { ...body, ...choice, thinking_budget_tokens: 6 }
  assert.match(messageOf((await (await post('/v1/chat/completions', formed)).json()) as Chunk).content, /^(yes|no)$/)

  const asked = {
    input: messages[0]!.content,
    max_output_tokens: 24,
    temperature: 0,
    min_tokens: 20,
    thinking_budget_tokens: 6,
  }
  const response = (await (await post('/v1/responses', asked)).json()) as {
    output: { type: string }[]
    usage: { output_tokens_details: { reasoning_tokens: number } }
  }
  assert.deepEqual(
    response.output.map(({ type }) => type),
    ['reasoning', 'message'],
  )
  assert.ok(response.usage.output_tokens_details.reasoning_tokens < 16)
  const anthropic = await post('/v1/messages', {
    messages,
    max_tokens: 24,
    temperature: 0,
    thinking: { type: 'enabled', budget_tokens: 6 },
  })
  const { content } = (await anthropic.json()) as { content: { type: string; thinking?: string }[] }
  assert.equal(content[0]!.type, 'thinking')
  assert.ok(engine().tokenize(content[0]!.thinking!).length <= 9, content[0]!.thinking)
})

test('in every dialect a schema is for the answer behind the reasoning', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  const schema = {
    type: 'object',
    properties: { sure: { type: 'boolean' } },
    required: ['sure'],
    additionalProperties: false,
  }
  const asked = async <T>(path: string, body: object) => {
    const response = await post(path, body)
    assert.equal(response.status, 200, path)
    return (await response.json()) as T
  }
  const bound = { thinking_budget_tokens: 6, temperature: 0 }
  const response = await asked<{ output: { type: string; content: { text: string }[] }[] }>('/v1/responses', {
    input: 'Are you sure?',
    ...bound,
    text: { format: { type: 'json_schema', name: 'answer', schema, strict: true } },
  })
  const messageItem = response.output.find(({ type }) => type === 'message')!
  const message = await asked<{ content: { type: string; text?: string }[] }>('/v1/messages', {
    messages,
    max_tokens: 60,
    temperature: 0,
    thinking: { type: 'enabled', budget_tokens: 6 },
    output_config: { format: { type: 'json_schema', schema } },
  })
  const chat = { messages, response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } } }
  const streamed = await chunks(await post('/v1/chat/completions', { ...chat, ...bound, stream: true }))
  // No reasoning to be bound: Ollama has no field for it.
  const ollama = await asked<{ message: { content: string } }>('/api/chat', {
    messages,
    stream: false,
    think: false,
    format: schema,
    options: { temperature: 0 },
  })
  const texts = [
    messageItem.content[0]!.text,
    message.content.find(({ type }) => type === 'text')!.text!,
    committed(streamed),
    ollama.message.content,
  ]
  for (const text of texts) assert.equal(typeof JSON.parse(text).sure, 'boolean', text)
})

test('a conversation whose reasoning comes back is found computed; without it, as far as it agrees', {
  skip,
  timeout,
}, async (t) => {
  const { post } = await serve(t, engine())
  const long = [{ role: 'user', content: `${'The sky is blue on most days. '.repeat(8)}Is it blue? Answer yes or no.` }]
  const ask = async (all: object[]) => {
    const body = { messages: all, temperature: 0, max_tokens: 24, thinking_budget_tokens: 6 }
    const chunk = (await (await post('/v1/chat/completions', body)).json()) as Chunk
    const { prompt_tokens: prompt, prompt_tokens_details: details } = chunk.usage!
    return { ...messageOf(chunk), prompt: Number(prompt), cached: (details as { cached_tokens: number }).cached_tokens }
  }
  const first = await ask(long)
  const { content, reasoning_content } = first
  const answered = { role: 'assistant', content }
  const why = { role: 'user', content: 'Why?' }
  const carried = await ask([...long, { ...answered, reasoning_content }, why])
  const dropped = await ask([...long, answered, why])
  // But for the marker, and the white space behind it that the template writes otherwise.
  for (const { cached, prompt } of [carried, dropped]) {
    assert.ok(cached >= first.prompt - 6 && cached < prompt, `${cached} of ${prompt} after ${first.prompt}`)
  }
})

test('earlier reasoning is given to the template', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  const history = (reasoning?: string) => [
    ...messages,
    { role: 'assistant', content: 'yes', ...(reasoning && { reasoning_content: reasoning }) },
    { role: 'user', content: 'Why?' },
  ]
  const tokens = async (all: object[]) =>
    Number(
      ((await (await post('/v1/chat/completions', { messages: all, max_tokens: 1 })).json()) as Chunk).usage!
        .prompt_tokens,
    )
  assert.ok((await tokens(history('It looks so on most days.'))) > (await tokens(history())) + 5)
})

test('over a socket reasoning is an item of its own, and the next turn is told of it', { skip, timeout }, async (t) => {
  const server = await serve(t, engine())
  const client = await RealtimeClient.open(server)
  await client.configure({ temperature: 0, max_output_tokens: 12, speculate: 'reply', provisional: true })
  client.send('input_text.append', { text: messages[0]!.content })
  client.send('input_text.commit')
  client.send('response.create')
  const done = await client.next('response.done')
  const whole = messageOf(
    (await (await server.post('/v1/chat/completions', { messages, temperature: 0, max_tokens: 12 })).json()) as Chunk,
  )
  const thought = client.events.filter(({ type }) => type === 'response.reasoning_text.delta')
  assert.equal(thought.map(({ delta }) => delta).join(''), whole.reasoning_content)
  // What was thought is nothing to show, neither early nor late.
  assert.deepEqual(
    client.events.filter(({ delta, type }) => delta && type === 'response.output_text.delta'),
    [],
  )
  assert.ok(client.events.every(({ provisional }) => provisional === undefined))
  assert.equal(done.response!.output![0]!.type, 'reasoning')

  await client.configure(off)
  client.skip()
  const { usage } = await client.ask('Why?')
  const { reasoning_content } = whole
  const history = [
    ...messages,
    { role: 'assistant', content: '', reasoning_content },
    { role: 'user', content: 'Why?' },
  ]
  const posted = await server.post('/v1/chat/completions', { messages: history, max_tokens: 1, ...off })
  assert.equal(usage!.prompt_tokens, ((await posted.json()) as Chunk).usage!.prompt_tokens)
  await client.close()
})

test('over a socket reasoning is bounded, too, also of a reply that is begun in a pause', {
  skip,
  timeout,
}, async (t) => {
  const server = await serve(t, engine())
  const client = await RealtimeClient.open(server)
  await client.configure({
    temperature: 0,
    max_output_tokens: 24,
    min_tokens: 20,
    speculate: 'reply',
    thinking_budget_tokens: 6,
  })
  client.send('input_text.append', { text: messages[0]!.content })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  client.send('input_text.commit')
  const types = async (response: object) => {
    client.send('response.create', { response })
    return (await client.next('response.done')).response!.output!.map(({ type }) => type)
  }
  assert.deepEqual(await types({}), ['reasoning', 'message'])
  client.send('conversation.replace', { messages })
  assert.deepEqual(await types({ thinking_token_budget: 40 }), ['reasoning'])
  await client.close()
})
