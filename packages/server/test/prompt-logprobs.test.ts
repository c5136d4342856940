import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { loaded, missing, shallow } from './models.ts'
import { chunks, serve } from './serve.ts'

// Scores of prompts as evaluation harnesses ask for them, on real weights.

const skip = missing(shallow)
const timeout = 60_000
const engine = loaded(shallow, { contextLength: 512, cut: 'none' })
const prompt = 'The capital of France is Paris. Ça va 🙂'

interface Logprobs {
  tokens: string[]
  token_logprobs: (number | null)[]
  top_logprobs: (Record<string, number> | null)[]
  text_offset: number[]
}
interface Ranked {
  logprob: number
  rank: number | null
  decoded_token: string
}
interface Answer {
  choices: {
    text?: string
    logprobs: Logprobs
    finish_reason: string
    prompt_logprobs?: (Record<string, Ranked> | null)[]
  }[]
  prompt_logprobs?: (Record<string, Ranked> | null)[]
  usage: { prompt_tokens: number; completion_tokens: number }
  error?: { param: string; code: string }
}

type Test = Parameters<typeof serve>[0]

async function asked(t: Test, body: object, path = '/v1/completions'): Promise<Answer> {
  const { post } = await serve(t, engine())
  return (await (await post(path, { temperature: 0, ...body })).json()) as Answer
}

/** What the engine itself says. */
async function scores(request: { prompt: string | number[] }) {
  const tokens = []
  for await (const event of engine().generate({ ...request, parseSpecial: true, promptLogprobs: 2, maxTokens: 0 })) {
    if (event.type === 'prompt') tokens.push(...event.tokens)
  }
  return tokens
}

test('openai: an echoed prompt comes with the log-probabilities of its tokens', { skip, timeout }, async (t) => {
  const { url } = await serve(t, engine())
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const { choices, usage } = await openai.completions.create({
    model: 'any',
    prompt,
    max_tokens: 0,
    temperature: 0,
    echo: true,
    logprobs: 2,
  })
  const expected = await scores({ prompt })
  const [{ text, logprobs, finish_reason: reason }] = choices as [OpenAI.CompletionChoice]
  assert.deepEqual([text, reason, usage!.completion_tokens], [prompt, 'length', 0])
  assert.deepEqual(
    logprobs!.token_logprobs,
    expected.map(({ logprob }) => logprob),
  )
  assert.deepEqual([logprobs!.token_logprobs![0], logprobs!.top_logprobs![0]], [null, null])
  // Two tokens that are parts of characters have the same text.
  assert.ok(logprobs!.top_logprobs!.slice(1).every((top) => [1, 2].includes(Object.keys(top).length)))
  // A token that begins a character begins where that does, and one in the middle of it behind.
  assert.equal(logprobs!.text_offset![0], 0)
  for (const [i, token] of logprobs!.tokens!.entries()) {
    if (token.includes('\uFFFD')) continue
    assert.equal(prompt.slice(logprobs!.text_offset![i], logprobs!.text_offset![i]! + token.length), token)
  }
})

test('token ids, several prompts, a token behind them: as harnesses send them', { skip, timeout }, async (t) => {
  const texts = [prompt, 'One two three four', '<|im_start|>user\nHi<|im_end|>']
  const ids = texts.map((text) => engine().tokenize(text, { special: true }))
  const { choices } = await asked(t, { prompt: ids, max_tokens: 1, echo: true, logprobs: 1 })
  const byText = await asked(t, { prompt: texts, max_tokens: 1, echo: true, logprobs: 1 })
  for (const [i, { text, logprobs }] of choices.entries()) {
    const { tokens, token_logprobs: all, top_logprobs: top, text_offset: offsets } = logprobs
    assert.equal(tokens.length, ids[i]!.length + 1)
    assert.ok(text!.startsWith(texts[i]!), text)
    assert.equal(offsets.at(-1), texts[i]!.length, 'the reply begins where the prompt ends')
    assert.equal(all.at(-1), Math.max(...Object.values(top.at(-1)!)), 'a greedy token is the likeliest')
    assert.deepEqual(logprobs.tokens, byText.choices[i]!.logprobs.tokens)
  }
})

test('a stream begins with the echo', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine())
  const body = { prompt, max_tokens: 3, temperature: 0, echo: true, logprobs: 0, cache_prompt: false }
  const whole = (await (await post('/v1/completions', body)).json()) as Answer
  const streamed = (await chunks(await post('/v1/completions', { ...body, stream: true }))).flatMap(
    ({ choices }) => choices as unknown as Answer['choices'],
  )
  assert.equal(streamed[0]!.text, prompt)
  const { logprobs } = whole.choices[0]!
  const joined = (name: 'tokens' | 'text_offset') =>
    streamed.flatMap(({ logprobs }): (string | number)[] => logprobs?.[name] ?? [])
  assert.deepEqual(joined('tokens'), logprobs.tokens)
  assert.deepEqual(joined('text_offset'), logprobs.text_offset)
})

test('prompt_logprobs as vLLM tells them, of a completion and of a conversation', { skip, timeout }, async (t) => {
  const ids = engine().tokenize(prompt, { special: true })
  const completion = await asked(t, { prompt, max_tokens: 1, prompt_logprobs: 2 })
  const listed = completion.choices[0]!.prompt_logprobs!
  const expected = await scores({ prompt })
  assert.equal(listed.length, ids.length)
  assert.equal(listed[0], null)
  for (const [i, all] of listed.entries()) {
    if (all === null) continue
    const own = all[String(ids[i])]!
    assert.equal(own.logprob, expected[i]!.logprob)
    assert.ok(Object.values(all).some(({ rank }) => rank === 1))
    assert.ok(Object.keys(all).length === (own.rank === null ? 3 : 2))
  }
  assert.equal(completion.choices[0]!.logprobs, null)
  const messages = [{ role: 'user', content: 'Hi' }]
  const chat = await asked(t, { messages, max_tokens: 1, prompt_logprobs: 0 }, '/v1/chat/completions')
  assert.equal(chat.prompt_logprobs!.length, chat.usage.prompt_tokens)
  assert.equal(Object.values(chat.prompt_logprobs![1]!)[0]!.decoded_token.length > 0, true)
  // Both at once, with different numbers of tokens.
  const both = await asked(t, { prompt, max_tokens: 0, echo: true, logprobs: 1, prompt_logprobs: 3 })
  assert.equal(Object.keys(both.choices[0]!.logprobs.top_logprobs[1]!).length, 1)
  assert.ok(Object.keys(both.choices[0]!.prompt_logprobs![1]!).length >= 3)
})

test('without log-probabilities a prompt of token ids is echoed as text', { skip, timeout }, async (t) => {
  const text = '<|im_start|>user\nSay é<|im_end|>'
  const ids = engine().tokenize(text, { special: true })
  const { choices, usage } = await asked(t, { prompt: ids, max_tokens: 0, echo: true })
  assert.deepEqual([choices[0]!.text, choices[0]!.logprobs, usage.completion_tokens], [text, null, 0])
})

test('what cannot be told is refused by name', { skip, timeout }, async (t) => {
  const cases: [object, string][] = [
    [{ prompt, prompt_logprobs: 1, stream: true }, 'prompt_logprobs'],
    [{ prompt, prompt_logprobs: 21 }, 'prompt_logprobs'],
    [{ prompt, max_tokens: -2 }, 'max_tokens'],
    [{ prompt, suffix: 'x', echo: true, logprobs: 1 }, 'logprobs'],
  ]
  for (const [body, param] of cases) assert.equal((await asked(t, body)).error?.param, param)
  const response = await asked(t, { input: 'Hi', prompt_logprobs: 1 }, '/v1/responses')
  assert.equal(response.error?.param, 'prompt_logprobs')
})
