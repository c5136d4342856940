import type { Step } from '../core/sequences/sequence.ts'

const enabled = process.env.INCIPIT_TRACE === '1'

/** With INCIPIT_TRACE=1: one readable line on stderr per step and per decision. */
export const trace = enabled ? (line: string) => process.stderr.write(`trace ${line}\n`) : undefined

/** The line of a step: stage, and per sequence its rows; `+n` marks rows with output. */
export function describeStep(step: Step, result: string, ms: number): string {
  const rows = step.rows.map(({ sequence, from, to, output }) => {
    const kind = sequence.kind === 'lookahead' ? 'lookahead' : 'seq'
    return `${kind}${sequence.order}[${from}..${to})${to > output ? `+${to - output}` : ''}`
  })
  return `stage ${step.stage} ${rows.join(' ')} ${result} ${ms.toFixed(1)} ms`
}
