import type { EmbedderInfo } from '../api/embedder-api.ts'
import { errorCodes, IncipitError } from '../api/errors.ts'
import type {
  DeltaEvent,
  DoneEvent,
  ProgressEvent,
  PromptEvent,
  PromptToken,
  ProvisionalEvent,
  TokenLogprob,
  TokenLogprobs,
} from '../api/events.ts'
import type { ModelInfo } from '../api/model-info.ts'
import type { PromptPiece } from '../api/request.ts'
import {
  boolean,
  type Check,
  count,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  ProtocolError,
  record,
  string,
  wrong,
} from './checks.ts'
import type { FromChild, LoadedInfo, PlainError, PlainInputOptions, PlainRequest, ToChild } from './messages.ts'

// A message to the engine's process is one line of JSON; from it a line holds all messages of a moment, of a step say.
// Deltas, which are nearly all of them, are lists without names: [id, text, tokens, logprobs].

const message = object({ role: string, content: string })

const piece: Check<PromptPiece> = (value, at) => (typeof value === 'string' ? value : count(value, at))

const request: Check<PlainRequest> = object({
  prompt: (value, at) => (value === undefined || typeof value === 'string' ? value : list(piece)(value, at)),
  messages: optional(list(message)),
  stop: optional(list(string)),
  beginsWith: optional(string),
  cacheSalt: optional(string),
}) as Check<PlainRequest>

const inputOptions: Check<PlainInputOptions> = object({
  frame: optional(object({ before: list(piece), after: list(piece) })),
  messages: optional(list(message)),
  stop: optional(list(string)),
  cacheSalt: optional(string),
}) as Check<PlainInputOptions>

const life = object({
  tokens: list(count),
  scored: count,
  elapsedMs: number,
  committedMs: nullable(number),
  rev: count,
})
const wants = object({ progress: boolean, preview: boolean })

const textOrTokens: Check<unknown> = (value, at) => (typeof value === 'string' ? value : list(count)(value, at))

const calls: Record<string, Check<unknown>> = {
  prefill: object({ request }),
  pinPrefix: object({ name: string, request }),
  tokenize: object({ text: string, special: boolean }),
  detokenize: object({ tokens: list(count), special: boolean }),
  tokenBytes: object({ tokens: list(count), special: boolean }),
  renderChat: object({ messages: list(message) }),
  embed: object({ inputs: list(textOrTokens) }),
  stats: record,
  costProfile: record,
  audit: record,
  idle: record,
}

const toChild: { readonly [T in ToChild['type']]: Check<unknown> } = {
  load: object({ version: count, path: string, options: object({ hangMs: number, constraints: optional(string) }) }),
  loadEmbedder: object({ version: count, path: string, options: object({ hangMs: number }) }),
  generate: object({ id: count, request, life: optional(life) }),
  respond: object({ id: count, input: count, request }),
  hold: object({ id: count, held: boolean }),
  cancel: object({ id: count }),
  call: object({ id: count, call: named('method', calls) }),
  open: object({ input: count, options: inputOptions, text: string, wants }),
  replace: object({ input: count, base: count, text: string }),
  configure: object({ input: count, options: inputOptions, wants }),
  add: object({ input: count, message }),
  commit: object({ input: count }),
  closeInput: object({ input: count }),
  threads: object({ most: count }),
  watch: object({ watch: count, options: record }),
  unwatch: object({ watch: count }),
  ping: record,
  close: record,
}

const plainError: Check<PlainError> = object({
  message: string,
  code: optional(oneOf(Object.keys(errorCodes) as (keyof typeof errorCodes)[])),
  param: optional(string),
})

const provisional: Check<ProvisionalEvent> = object({
  rev: count,
  base: count,
  text: string,
  tokens: count,
  stability: number,
  source: string,
  reason: optional(string),
}) as Check<ProvisionalEvent>

const progress: Check<ProgressEvent> = object({
  promptTokens: count,
  cachedTokens: count,
  computedTokens: count,
  ms: number,
}) as Check<ProgressEvent>

const moment = nullable(number)
const done: Check<DoneEvent> = object({
  finishReason: oneOf(['stop', 'length', 'context', 'cancelled']),
  stopString: optional(string),
  usage: object({
    promptTokens: count,
    completionTokens: count,
    cachedTokens: count,
    acceptedPredictionTokens: count,
    rejectedPredictionTokens: count,
  }),
  timings: object({
    queueMs: number,
    promptMs: moment,
    provisionalMs: moment,
    stableMs: moment,
    committedMs: moment,
    predictedMs: number,
    promptN: number,
    predictedN: count,
    draftedN: count,
    acceptedN: count,
    rejectedN: count,
    retractedN: count,
    toleratedN: count,
    earlyN: count,
  }),
}) as Check<DoneEvent>

const modelInfo: Check<ModelInfo> = object({
  name: string,
  path: string,
  architecture: string,
  description: string,
  layers: count,
  embedding: count,
  vocabulary: count,
  contextLength: count,
  parallel: count,
  hasChatTemplate: boolean,
  chatTemplate: optional(string),
  reasoning: optional(object({ start: string, end: string })),
  begin: optional(count),
  loras: optional(list(object({ path: string, scale: number }))),
  fim: optional(object({ order: string, prefix: count, suffix: count })),
  memory: object({
    kind: oneOf(['attention', 'window', 'recurrent']),
    window: count,
    allRows: boolean,
    snapshots: count,
    snapshotsLeftOut: count,
    bytes: count,
  }),
  cache: oneOf(['unified', 'separate']),
  stages: list(list(count)),
  proposers: record,
}) as Check<unknown> as Check<ModelInfo>

const embedderInfo: Check<EmbedderInfo> = object({
  name: string,
  path: string,
  architecture: string,
  description: string,
  vocabulary: count,
  dimensions: count,
  contextLength: count,
  pooling: oneOf(['mean', 'cls', 'last']),
  made: boolean,
  memory: object({ bytes: count }),
}) as Check<EmbedderInfo>

const info: Check<LoadedInfo> = (value, at) =>
  'dimensions' in record(value, at) ? embedderInfo(value, at) : modelInfo(value, at)

const tokenLogprob = object({ token: count, logprob: nullable(number), bytes: list(count) })
const tokenLogprobs = object({ token: count, logprob: nullable(number), bytes: list(count), top: list(tokenLogprob) })
const prompt = object({ from: count, tokens: list(tokenLogprobs) })

const event = named('type', { prompt, progress, provisional, done })

const fromChild: { readonly [T in FromChild['type']]: Check<unknown> } = {
  ready: object({ version: count, info }),
  unloadable: object({ error: plainError }),
  accepted: object({ id: count }),
  event: object({ id: count, event }),
  failed: object({ id: count, error: plainError }),
  result: object({ id: count }),
  progress: object({ input: count, progress: object({ rev: count, tokens: count, computed: count }) }),
  preview: object({ input: count, event: provisional }),
  inputFailed: object({ input: count, error: plainError }),
  watched: object({ watch: count, records: list(record) }),
  defect: object({ error: plainError }),
  late: object({ ms: number, mostMs: number }),
  log: object({ level: oneOf(['debug', 'info', 'warn', 'error']), message: string }),
  trace: object({ line: string }),
  computing: object({ computing: boolean }),
  pong: record,
  closed: record,
}

/**
 * @returns a line, without its end
 * @throws IncipitError `invalid_request` for what is no plain data, such as a schema that contains itself
 */
export function encodeToChild(message: ToChild): string {
  try {
    return JSON.stringify(message)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new IncipitError('invalid_request', `the request is no plain data: ${why}`, { cause })
  }
}

/** @throws ProtocolError */
export function decodeToChild(line: string): ToChild {
  return named('type', toChild)(parsed(line), 'message') as ToChild
}

/** One message; a line of several is `[a,b,c]`. */
export function encodeFromChild(message: FromChild): string {
  if (message.type !== 'event' || message.event.type !== 'delta') return JSON.stringify(message)
  const { id, event, tokens = [] } = message
  const logprobs = event.logprobs ? `,${JSON.stringify(event.logprobs)}` : ''
  return `[${id},${JSON.stringify(event.text)},[${tokens.join()}]${logprobs}]`
}

/** @throws ProtocolError */
export function decodeFromChild(line: string): FromChild[] {
  const messages = parsed(line)
  if (!Array.isArray(messages)) throw wrong('line', 'a list', messages)
  const check = named('type', fromChild)
  return messages.map((message) => {
    if (Array.isArray(message)) return delta(message)
    const checked = check(message, 'message') as FromChild
    if (checked.type !== 'event' || checked.event.type !== 'prompt') return checked
    return { ...checked, event: promptEvent(checked.event) }
  })
}

function delta([id, text, tokens, logprobs]: unknown[]): FromChild {
  const event: DeltaEvent = { type: 'delta', text: string(text, 'delta.text'), tokens: 0 }
  const ids = list(count)(tokens, 'delta.tokens')
  event.tokens = ids.length
  if (logprobs !== undefined) event.logprobs = list(tokenLogprobs)(logprobs, 'delta.logprobs').map(withInfinity)
  return { type: 'event', id: count(id, 'delta.id'), event, tokens: ids }
}

/** JSON has no infinity: what is impossible comes as null. */
type Nullable<L extends { readonly logprob: number | null }> = Omit<L, 'logprob'> & { readonly logprob: number | null }

function withInfinity({
  top,
  ...chosen
}: Nullable<Omit<TokenLogprobs, 'top'>> & { readonly top: readonly Nullable<TokenLogprob>[] }): TokenLogprobs {
  const finite = (of: Nullable<TokenLogprob>) => ({ ...of, logprob: of.logprob ?? Number.NEGATIVE_INFINITY })
  return { ...finite(chosen), top: top.map(finite) }
}

/** Of a prompt's first token nothing is said, which is null, too. */
function promptEvent({ type, from, tokens }: PromptEvent): PromptEvent {
  return { type, from, tokens: tokens.map((token, i): PromptToken => (from + i === 0 ? token : withInfinity(token))) }
}

/** An object whose member `tag` says which check is for it. */
function named(tag: string, checks: Readonly<Record<string, Check<unknown>>>): Check<unknown> {
  return (value, at) => {
    const object = record(value, at)
    const name = object[tag]
    if (typeof name !== 'string' || !Object.hasOwn(checks, name)) {
      throw new ProtocolError(`${at}.${tag}: ${JSON.stringify(name)} is unknown`)
    }
    return checks[name]!(object, `${at} ${name}`)
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw new ProtocolError(`not JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

/** Any thrown value as data. */
export function plain(thrown: unknown): PlainError {
  if (!(thrown instanceof Error)) return { message: String(thrown) }
  const { message } = thrown
  if (!(thrown instanceof IncipitError)) return { message }
  return { message, code: thrown.code, param: thrown.param }
}

export function thrown({ message, code, param }: PlainError): Error {
  if (code === undefined) return new Error(message)
  return new IncipitError(code, message, param === undefined ? {} : { param })
}
