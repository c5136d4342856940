import { isLossy, type ModelInfo, type ModelOffload, proposerNames, tiers } from '@incipit/engine/api'
import type { ModelCard } from '@incipit/server'
import pc from 'picocolors'
import { bytes } from '../models/progress.ts'
import type { ModelConfig } from './models/model-config.ts'
import type { KeptPrefix } from './prefixes.ts'

/** What a banner says beside the models. */
interface BannerOptions {
  version: string
  address: string
  apiKey: string | undefined
  showKey: boolean
  /** There is a page. */
  page: boolean
}

/** What `incipit serve` prints at once: models of some size take their time. */
export function loadingLine(
  models: readonly string[],
  { version, address }: Pick<BannerOptions, 'version' | 'address'>,
) {
  return `${pc.bold(`incipit ${version}`)} is at ${address} and loads ${models.join(', ')}\n`
}

/**
 * What `incipit serve` prints once it serves one model: address, model, stages, cache, tiers, policies, proposers, prefixes,
 * and a command to try.
 */
export function banner(
  info: ModelInfo,
  config: ModelConfig,
  prefixes: readonly KeptPrefix[],
  options: BannerOptions,
): string {
  return (
    title(options) +
    row('model', `${info.name} (${info.description}, context ${info.contextLength} tokens)`) +
    (info.slowFormat === undefined ? '' : row('weights', weights(info.path, info.slowFormat))) +
    row('stages', stages(info, config.cut)) +
    (info.offload ? row('gpu', offload(info.offload)) : '') +
    row('cache', cache(info)) +
    row('tiers', tierList(config)) +
    row('policies', policies(info, config)) +
    proposers(info)
      .map((line, i) => row(i === 0 ? 'proposers' : '', line))
      .join('') +
    prefixes.map((prefix, i) => row(i === 0 ? 'prefixes' : '', prefixLine(prefix))).join('') +
    tryIt(options, curl(options, ...generation(info)))
  )
}

/** The same for several models, or for one that makes vectors of texts: which there are, and which are loaded. */
export function modelsBanner(
  models: readonly (ModelCard & { forEmbeddings: boolean })[],
  memory: number,
  options: BannerOptions,
): string {
  const line = ({ name, aliases, status, forEmbeddings }: (typeof models)[number]) =>
    [
      aliases.length > 0 ? `${name} (also ${aliases.join(', ')})` : name,
      status === 'loaded' ? 'loaded' : 'loaded when it is asked for',
      ...(forEmbeddings ? ['makes embeddings'] : []),
    ].join(', ')
  const [first] = models
  const embeds = first!.forEmbeddings
  const body = {
    model: first!.name,
    ...(embeds ? { input: 'Once upon a time' } : { prompt: 'Once upon a time', max_tokens: 64 }),
  }
  return (
    title(options) +
    models.map((model, i) => row(i === 0 ? 'models' : '', line(model))).join('') +
    row('memory', `${bytes(memory)} for what is loaded at a time`) +
    `Try it:\n${curl(options, embeds ? 'embeddings' : 'completions', body)}\n`
  )
}

function tryIt({ page, address }: BannerOptions, command: string): string {
  return `Try it${page ? `: open ${address} in a browser, or` : ':'}\n${command}\n`
}

function title({ version, address }: BannerOptions): string {
  return `${pc.bold(`incipit ${version}`)} serves on ${pc.bold(address)}\n`
}

function row(name: string, value: string): string {
  return `  ${pc.dim(name.padEnd(10))}${value}\n`
}

function stages(info: ModelInfo, cut: ModelConfig['cut']): string {
  const ranges = info.stages.map(([from, to]) => `${from}-${to - 1}`)
  if (ranges.length > 1) return `${ranges.length}, layers ${ranges.join(' and ')}`
  return `1, layers ${ranges[0]} (${whyWhole(info, cut)})`
}

function weights(path: string, format: string): string {
  const measure = `incipit tune --format --model ${path}`
  return `mostly ${format}: CPUs read prompts faster in other formats, such as Q8_0; \`${measure}\` measures them here`
}

function offload({ layers, of, devices }: ModelOffload): string {
  return `${layers} of ${of} layers on ${devices.join(', ')}${layers < of ? '; the others do not fit' : ''}`
}

// Why a model runs as one stage.
function whyWhole(info: ModelInfo, cut: ModelConfig['cut']): string {
  if (info.cutRefused !== undefined) return `not cut: ${info.cutRefused}`
  if (cut === 'none') return 'not cut: --cut none'
  return 'not cut: no fitted exit of this model pays; see `incipit tune --exit`'
}

function cache({ cache, memory }: ModelInfo): string {
  const { kind, window, allRows, snapshots, snapshotsLeftOut, bytes: size } = memory
  const where = `${cache === 'separate' ? 'a KV cache for each sequence' : 'one KV cache for all sequences'}, ${bytes(size)}`
  if (kind === 'window' && allRows) return `${where}, with all rows of the layers that look back ${window} tokens`
  if (kind === 'window') {
    return `${where}, with ${window} rows for each sequence in the layers that look back so many: all rows would not fit; a text is gone back to at checkpoints`
  }
  if (kind === 'attention') return where
  const back = snapshots > 0 ? `, and ${snapshots} tokens back after a guess` : ''
  const less = snapshotsLeftOut > 0 ? ` (${snapshotsLeftOut} more do not fit into memory)` : ''
  return `${where}; recurrent states: a text is gone back to at checkpoints${back}${less}`
}

function tierList({ tier = 'chat' }: ModelConfig): string {
  const list = Object.values(tiers).map(
    ({ name, ttftMs }) => `${name} ${ttftMs >= 1000 ? `${ttftMs / 1000} s` : `${ttftMs} ms`}`,
  )
  return `${list.join(', ')} to the first word; ${tier} unless a request says otherwise`
}

function policies({ proposers }: ModelInfo, { policy }: ModelConfig): string {
  const lossy = proposers.exit.available ? 'tolerant, confident' : 'tolerant'
  const usual = isLossy(policy) ? `${policy} (LOSSY: text may differ from the model's)` : policy
  return `${usual} unless a request says otherwise; on request committed, provisional, and lossy ${lossy}`
}

/** Who may guess, then one line for each who may not. */
function proposers(info: ModelInfo): string[] {
  const on = proposerNames.filter((name) => info.proposers[name].available)
  const off = proposerNames.filter((name) => !info.proposers[name].available)
  return [
    on.length > 0 ? on.join(', ') : 'none',
    ...off.map((name) => `${name} off: ${info.proposers[name].note ?? 'not for this model'}`),
  ]
}

function prefixLine({ name, tokens, fromDisk }: KeptPrefix): string {
  return `${name}: ${tokens} tokens, ${fromDisk ? 'from disk' : 'computed'}`
}

/** A request that works: a conversation, or for a model without a chat template the beginning of a text. */
function generation(info: ModelInfo): [route: string, body: object] {
  if (!info.hasChatTemplate) return ['completions', { prompt: 'Once upon a time', max_tokens: 64, stream: true }]
  const messages = [{ role: 'user', content: 'Name three colours.' }]
  return ['chat/completions', { messages, max_tokens: 64, stream: true }]
}

/** A command that can be pasted. */
function curl({ address, apiKey, showKey }: BannerOptions, route: string, body: object): string {
  const key = apiKey === undefined ? '' : ` -H ${quote(`authorization: Bearer ${showKey ? apiKey : 'KEY'}`)}`
  return `curl -N ${address}/v1/${route} -H 'content-type: application/json'${key} -d ${quote(JSON.stringify(body))}`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
