import type { Readable } from 'node:stream'
import type { ChatMessage } from '@incipit/engine/api'
import type { ServedEngine, ServedInput } from './served-engine.ts'
import { type Arrived, ArrivingMessages } from './upload-messages.ts'

/**
 * Milliseconds that a body may take before work on it begins early. A body that is in one piece or comes over a fast line
 * is complete before; computing half of it would only be in the way.
 */
const PATIENCE = 20

/** Least milliseconds between two looks at what has arrived. */
const GAP = 20

/** Of each look's own cost (the text is tokenised as a whole), the share of time that looks may take is one in this many. */
const PACE = 10

/** The engine of the model of this name, where it is there and is known. */
type EngineOf = (model: string | undefined) => ServedEngine | undefined

/**
 * Watches the body of a chat request while it is uploaded, and has the engine compute the conversation so far. It takes
 * no part in reading the body: whatever becomes of it here, the request is parsed and answered as any other, only that the
 * engine finds its prompt warm.
 */
export class Upload {
  readonly #body: Readable
  readonly #length: number
  readonly #engineOf: EngineOf
  /** What has arrived before it was worth a look. */
  #early: Uint8Array[] = []
  #received = 0
  #arriving: ArrivingMessages | undefined
  #input: ServedInput | undefined
  /** Whose it is, and its namespace. */
  #engine: ServedEngine | undefined
  #salt: string | undefined
  /** Complete messages at the last look. */
  #complete = 0
  #timer: NodeJS.Timeout | undefined
  #nextLook = 0

  /**
   * Listens to the body at once, so whoever reads it must begin in the same turn of the event loop.
   *
   * @param length of the body in bytes, where the request says it
   */
  constructor(body: Readable, length: number | undefined, engineOf: EngineOf) {
    this.#body = body
    this.#length = length ?? Number.POSITIVE_INFINITY
    this.#engineOf = engineOf
    body.on('data', this.#take)
    body.once('end', this.#stop)
    body.once('close', this.discard)
  }

  /** The body is complete: nothing more is done ahead, and what was computed stays for the request. */
  readonly #stop = (): void => {
    this.#body.off('data', this.#take)
    this.#body.off('end', this.#stop)
    this.#body.off('close', this.discard)
    clearTimeout(this.#timer)
    this.#early = []
    this.#arriving = undefined
  }

  /** What was computed is no longer wanted, or the request has taken it over. */
  readonly discard = (): void => {
    this.#stop()
    this.#input?.close()
    this.#input = undefined
  }

  readonly #take = (chunk: Uint8Array): void => {
    this.#received += chunk.length
    if (this.#received >= this.#length) this.#stop()
    else if (this.#arriving) this.#read(chunk)
    else {
      this.#early.push(chunk)
      this.#timer ??= setTimeout(() => this.#begin(), PATIENCE)
    }
  }

  #begin(): void {
    this.#arriving = new ArrivingMessages()
    for (const chunk of this.#early.splice(0)) this.#read(chunk)
  }

  #read(chunk: Uint8Array): void {
    try {
      this.#arriving?.write(chunk)
    } catch {
      // It is not JSON. The request itself will hear it in the server's own words.
      this.discard()
      return
    }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#look(), Math.max(0, this.#nextLook - performance.now()))
  }

  #look(): void {
    const begin = performance.now()
    const arrived = this.#arriving?.read()
    if (arrived === undefined || arrived.cold || (this.#input && this.#belongsElsewhere(arrived))) {
      // A message that the schema refuses: so will the request be. Or nothing that is done here is for this request.
      this.discard()
      return
    }
    try {
      this.#follow(arrived)
    } catch {
      // Half a conversation may be one that the chat template does not take; the whole one is another matter.
    }
    const end = performance.now()
    this.#nextLook = end + Math.max(GAP, PACE * (end - begin))
  }

  #belongsElsewhere({ model, cacheSalt }: Arrived): boolean {
    return cacheSalt !== this.#salt || this.#engineOf(model) !== this.#engine
  }

  #follow(arrived: Arrived): void {
    // Nothing yet, or the next message has no text yet: what there was stays as it is.
    if (arrived.open === undefined && arrived.messages.length === this.#complete) return
    this.#complete = arrived.messages.length
    const { messages, text } = asInput(arrived)
    if (this.#input === undefined) {
      this.#engine = this.#engineOf(arrived.model)
      this.#salt = arrived.cacheSalt
      this.#input = this.#engine?.open?.({ messages, ...(this.#salt === undefined ? {} : { cacheSalt: this.#salt }) })
      if (this.#input === undefined) return
    }
    if (differ(this.#input.messages, messages)) this.#input.configure({ messages })
    this.#input.revise(text)
  }
}

/** The conversation as an open input has it: a user's last message is the open text, whether it is complete or not. */
function asInput({ messages, open }: Arrived): { messages: readonly ChatMessage[]; text: string } {
  const all = open === undefined ? messages : [...messages, open]
  const last = all.at(-1)
  if (last?.role !== 'user' || last.name !== undefined) return { messages: all, text: '' }
  return { messages: all.slice(0, -1), text: last.content }
}

/** Only the end of an arriving conversation changes. */
function differ(a: readonly ChatMessage[], b: readonly ChatMessage[]): boolean {
  const [x, y] = [a.at(-1), b.at(-1)]
  return a.length !== b.length || x?.role !== y?.role || x?.content !== y?.content
}
