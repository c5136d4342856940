import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bytes, createProgress } from './progress.ts'

function stream(isTTY: boolean, columns = 60) {
  const written: string[] = []
  return { isTTY, columns, written, write: (text: string) => written.push(text) }
}

describe('createProgress', () => {
  it('prints a line at each tenth where there is no terminal', () => {
    const log = stream(false)
    const progress = createProgress('m.gguf', log)
    for (let done = 0; done <= 1000; done += 5) progress.update(done, 1000)
    progress.end()
    assert.equal(log.written.length, 11)
    assert.equal(log.written[5], 'm.gguf: 50% (500 B of 1.0 kB)\n')
  })

  it('redraws one line on a terminal that never wraps, and ends it', () => {
    for (const columns of [20, 60, 200]) {
      const terminal = stream(true, columns)
      const progress = createProgress('a-model-with-a-long-name.gguf', terminal)
      progress.update(0, 2_000_000_000)
      progress.update(2_000_000_000, 2_000_000_000)
      progress.end()
      const [first, last, end] = terminal.written
      for (const line of [first, last]) {
        assert.match(line ?? '', /^\r.*\[K$/)
        assert((line ?? '').replace(/^\r|.\[K$/g, '').length < columns)
      }
      assert.match(last ?? '', /100%/)
      assert.equal(end, '\n')
    }
  })

  it('keeps notes off the bar', () => {
    const terminal = stream(true)
    const progress = createProgress('m.gguf', terminal)
    progress.update(0, 10)
    progress.note('interrupted')
    assert.deepEqual(terminal.written.slice(1), ['\n', 'interrupted\n'])
  })
})

describe('bytes', () => {
  it('counts in powers of 1000', () => {
    assert.deepEqual([0, 999, 1000, 98_362_432, 4_700_000_000].map(bytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '98.4 MB',
      '4.7 GB',
    ])
  })
})
