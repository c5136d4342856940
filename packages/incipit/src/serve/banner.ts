import type { ModelInfo, ProposerName } from '@incipit/engine'
import pc from 'picocolors'
import type { ServeConfig } from './config.ts'

/** What `incipit serve` prints once it serves: address, model, stages, proposers, and a command to try. */
export function banner(info: ModelInfo, address: string, config: ServeConfig, showKey: boolean): string {
  const row = (name: string, value: string) => `  ${pc.dim(name.padEnd(10))}${value}\n`
  return (
    `${pc.bold(`incipit ${config.version}`)} serves on ${pc.bold(address)}\n` +
    row('model', `${info.name} (${info.description}, context ${info.contextLength} tokens)`) +
    row('stages', stages(info, config.cut)) +
    row('proposers', proposers(info)) +
    `Try it:\n${curl(info, address, config.apiKey, showKey)}\n`
  )
}

function stages(info: ModelInfo, cut: ServeConfig['cut']): string {
  const ranges = info.stages.map(([from, to]) => `${from}-${to - 1}`)
  if (ranges.length > 1) return `${ranges.length}, layers ${ranges.join(' and ')}`
  return `1, layers ${ranges[0]} (${whyWhole(info, cut)})`
}

// Why a model runs as one stage.
function whyWhole(info: ModelInfo, cut: ServeConfig['cut']): string {
  if (info.cutRefused !== undefined) return `not cut: ${info.cutRefused}`
  if (cut === 'none') return 'not cut: --cut none'
  return 'not cut: no fitted exit of this model pays; see `incipit tune --exit`'
}

function proposers(info: ModelInfo): string {
  const names = Object.keys(info.proposers) as ProposerName[]
  const on = names.filter((name) => info.proposers[name].available)
  const off = names.filter((name) => !info.proposers[name].available)
  const reasons = off.map((name) => `${name} off: ${info.proposers[name].note ?? 'not for this model'}`)
  return [on.length > 0 ? on.join(', ') : 'none', ...reasons].join('; ')
}

/** A request that works when pasted: a conversation, or for a model without a chat template the beginning of a text. */
function curl(info: ModelInfo, address: string, apiKey: string | undefined, showKey: boolean): string {
  const [route, body] = info.hasChatTemplate
    ? [
        'chat/completions',
        { messages: [{ role: 'user', content: 'Name three colours.' }], max_tokens: 64, stream: true },
      ]
    : ['completions', { prompt: 'Once upon a time', max_tokens: 64, stream: true }]
  const key = apiKey === undefined ? '' : ` -H ${quote(`authorization: Bearer ${showKey ? apiKey : 'KEY'}`)}`
  return `curl -N ${address}/v1/${route} -H 'content-type: application/json'${key} -d ${quote(JSON.stringify(body))}`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
