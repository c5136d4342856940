// Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  /** Behind the name: a histogram's series have names of their own. */
  readonly suffix?: '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

/** What series of one name have in common. */
export interface FamilyHead {
  readonly name: `incipit_${string}`
  readonly help: string
}

export interface Family extends FamilyHead {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

export function exposition(families: readonly Family[]): string {
  return families.map(lines).join('')
}

function lines({ name, help, type, samples }: Family): string {
  const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
  return samples.reduce(
    (text, { suffix = '', labels, value }) => `${text}${name}${suffix}${braced(labels)} ${number(value)}\n`,
    head,
  )
}

function braced(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join()}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

export function number(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value)
}
