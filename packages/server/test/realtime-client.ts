import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'
import { Reader } from './reader.ts'
import type { Chunk, Served } from './serve.ts'

interface WireItem {
  id: string
  object: string
  type: string
  status: string
  role?: string
  content?: { type: string; text: string }[]
  call_id?: string
  name?: string
  arguments?: string
}

/** The parts of server events that the tests look at. */
export interface ServerEvent {
  type: string
  event_id: string
  response_id?: string
  session?: Record<string, unknown>
  error?: { type: string; code: string; message: string; param: string | null; event_id: string | null }
  delta?: string
  text?: string
  provisional?: NonNullable<Chunk['provisional']> & { input?: number }
  response?: {
    id: string
    object: string
    status: string
    finish_reason?: string | null
    output?: WireItem[]
    metadata?: object | null
  }
  item?: WireItem
  item_id?: string
  previous_item_id?: string | null
  call_id?: string
  arguments?: string
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } } | null
  timings?: Record<string, number | null> | null
  lossy?: boolean
  rev?: number
  tokens?: number
  computed?: number
}

/**
 * A client of `/v1/realtime` that checks on the way what holds for every event: ids are new, provisional text keeps its
 * rules, deltas add up to the text.
 */
export class RealtimeClient {
  readonly socket: WebSocket
  readonly events: ServerEvent[] = []
  /** What each response shows, by its id. */
  readonly views = new Map<string, Reader>()
  readonly #ids = new Set<string>()
  readonly #texts = new Map<string, string>()
  #read = 0
  #wake = Promise.withResolvers<void>()
  #failure: unknown
  closed: { code: number; reason: string } | undefined

  constructor(server: Served, { protocols = [], ...options }: ClientOptions & { protocols?: string[] } = {}) {
    this.socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/realtime`, protocols, options)
    this.socket.on('message', (data) => {
      try {
        this.#take(JSON.parse(String(data)) as ServerEvent)
      } catch (error) {
        this.#failure ??= error
      }
      this.#signal()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
      this.#signal()
    })
  }

  /** Connects and reads `session.created`. */
  static async open(server: Served, options: ClientOptions & { protocols?: string[] } = {}): Promise<RealtimeClient> {
    const client = new RealtimeClient(server, options)
    await client.next('session.created')
    return client
  }

  send(type: string, fields: object = {}): void {
    this.socket.send(JSON.stringify({ type, ...fields }))
  }

  /** Changes settings and waits until they hold. */
  async configure(session: object): Promise<ServerEvent> {
    this.send('session.update', { session })
    return this.next('session.updated')
  }

  /** The next event of this type that was not yet returned; errors in between fail the test. */
  async next(type: string): Promise<ServerEvent> {
    for (;;) {
      if (this.#failure) throw this.#failure
      const event = this.events[this.#read]
      if (event === undefined) {
        assert.equal(this.closed, undefined, `closed while waiting for ${type}`)
        await this.#wake.promise
        continue
      }
      this.#read++
      if (event.type === type) return event
      if (event.type === 'error') assert.fail(`waiting for ${type}: ${JSON.stringify(event.error)}`)
    }
  }

  /** Leaves out what came so far: errors that the test has looked at. */
  skip(): void {
    this.#read = this.events.length
  }

  /** Commits, asks and waits for the whole reply. */
  async ask(text: string): Promise<ServerEvent & { text: string }> {
    this.send('input_text.append', { text })
    this.send('input_text.commit')
    this.send('response.create')
    return this.reply()
  }

  /** The end of the running response, with its text. */
  async reply(): Promise<ServerEvent & { text: string }> {
    const { text } = await this.next('response.output_text.done')
    return { ...(await this.next('response.done')), text: text! }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.socket.close()
    await this.whenClosed()
  }

  async whenClosed(): Promise<{ code: number; reason: string }> {
    if (!this.closed) await once(this.socket, 'close')
    return this.closed!
  }

  #signal(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  #take(event: ServerEvent): void {
    this.events.push(event)
    assert.equal(typeof event.event_id, 'string')
    assert.ok(!this.#ids.has(event.event_id), 'event ids are unique')
    this.#ids.add(event.event_id)
    const { response_id: id } = event
    if (event.type.startsWith('response.')) assert.equal(typeof id, 'string')
    if (id === undefined) return
    const view = this.views.get(id) ?? new Reader()
    this.views.set(id, view)
    const said = event.type === 'response.output_text.delta' ? event.delta! : ''
    const choices = said === '' ? [] : [{ index: 0, text: said, finish_reason: null }]
    const { provisional } = event
    view.read({ id, object: '', created: 0, model: '', choices, ...(provisional ? { provisional } : {}) })
    this.#texts.set(id, (this.#texts.get(id) ?? '') + said)
    if (event.type === 'response.output_text.done') assert.equal(event.text, this.#texts.get(id))
  }
}
