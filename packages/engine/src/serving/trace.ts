import type { Step } from '../core/sequences/sequence.ts'

const onStderr = process.env.INCIPIT_TRACE === '1'

/** Told one readable line per step and per decision: with INCIPIT_TRACE=1 on stderr, and by `traceTo`. */
export let trace: ((line: string) => void) | undefined = onStderr ? write : undefined

/** Hands the lines to somebody else as well, for the whole process. */
export function traceTo(sink: (line: string) => void): void {
  trace = (line) => {
    if (onStderr) write(line)
    sink(line)
  }
}

function write(line: string): void {
  process.stderr.write(`trace ${line}\n`)
}

/** The line of a step: stage, and per sequence its rows; `+n` marks rows with output. */
export function describeStep(step: Step, result: string, ms: number): string {
  const rows = step.rows.map(({ sequence, from, to, output }) => {
    const kind = sequence.kind === 'lookahead' ? 'lookahead' : 'seq'
    return `${kind}${sequence.order}[${from}..${to})${to > output ? `+${to - output}` : ''}`
  })
  return `stage ${step.stage} ${rows.join(' ')} ${result} ${ms.toFixed(1)} ms`
}
