import { appendFileSync } from 'node:fs'
import { Reply } from '../../engine/src/serving/reply.ts'

// Preloaded into processes with an engine: every first commit of a reply leaves its time by the machine's monotonic clock, in
// nanoseconds, in the file that INCIPIT_BENCH_MARKS names.
const { flush } = Reply.prototype
const marked = new WeakSet<Reply>()
Reply.prototype.flush = function (this: Reply) {
  const at = process.hrtime.bigint()
  flush.call(this)
  if (marked.has(this) || typeof this.timings.committedMs !== 'number') return
  marked.add(this)
  // Writing it holds nothing up.
  setTimeout(() => appendFileSync(process.env.INCIPIT_BENCH_MARKS!, `${at}\n`), 5)
}
