import assert from 'node:assert/strict'
import { events, type Served } from './serve.ts'

/** A token may be another one in other company where the two likeliest are this close: logits differ in the last bits. */
const nearTie = 0.05

const body = {
  prompt: 'Once upon a time, there was a little girl',
  max_tokens: 40,
  temperature: 0,
  stream: true,
  logprobs: 2,
  ignore_eos: true,
  cache_prompt: false,
}

interface Spoken {
  readonly tokens: string[]
  /** By how much the likeliest token was ahead of the next one. */
  readonly leads: number[]
}

/** Somebody whose reply streams, again and again, while others do what they do: it is always the one that it is alone. */
export class Companion {
  readonly #server: Served
  readonly #alone: readonly string[]

  private constructor(server: Served, alone: readonly string[]) {
    this.#server = server
    this.#alone = alone
  }

  static async of(server: Served): Promise<Companion> {
    const { tokens, leads } = await speak(server)
    const tie = leads.findIndex((lead) => lead < nearTie)
    const alone = tie < 0 ? tokens : tokens.slice(0, tie)
    assert.ok(alone.length > 10, `the reply hangs on a near tie after ${alone.length} tokens`)
    return new Companion(server, alone)
  }

  /** Streams while something is done, and at least once. */
  async undisturbed(act: () => Promise<void>): Promise<void> {
    let over = false
    const acting = act().finally(() => {
      over = true
    })
    // It is awaited below, when the reply that streams is over.
    acting.catch(() => {})
    do {
      const { tokens } = await speak(this.#server)
      assert.deepEqual(tokens.slice(0, this.#alone.length), this.#alone)
    } while (!over)
    await acting
  }
}

async function speak(server: Served): Promise<Spoken> {
  const spoken: Spoken = { tokens: [], leads: [] }
  for await (const event of events(await server.post('/v1/completions', body))) {
    if (event === '[DONE]') return spoken
    const [choice] = event.choices
    const logprobs = choice && 'logprobs' in choice ? (choice.logprobs as Logprobs | null) : null
    spoken.tokens.push(...(logprobs?.tokens ?? []))
    for (const top of logprobs?.top_logprobs ?? []) {
      const [first = 0, second = Number.NEGATIVE_INFINITY] = Object.values(top).toSorted((a, b) => b - a)
      spoken.leads.push(first - second)
    }
  }
  throw new Error('the stream of another request broke off')
}

interface Logprobs {
  readonly tokens: string[]
  readonly top_logprobs: Record<string, number>[]
}
