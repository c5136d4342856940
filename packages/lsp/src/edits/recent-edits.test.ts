import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentEdits } from './recent-edits.ts'

/** A document that is changed, and what is known of it then. */
class Written {
  readonly recent = new RecentEdits()
  text: string

  constructor(text: string) {
    this.text = text
  }

  /** Replaces the first place of a text, as typing does: what goes at once, what comes letter by letter. */
  replace(old: string, now: string, uri = 'file:///a.ts'): void {
    const from = this.text.indexOf(old)
    if (old !== '') this.#change(uri, from, from + old.length, '')
    for (const [i, character] of [...now].entries()) this.#change(uri, from + i, from + i, character)
  }

  get latest() {
    return this.recent.latest.map(({ before, after }) => ({ before, after }))
  }

  #change(uri: string, from: number, to: number, inserted: string): void {
    this.recent.changed(uri, [{ before: this.text, from, to, inserted }])
    this.text = this.text.slice(0, from) + inserted + this.text.slice(to)
  }
}

test('keystrokes in a line are one edit of that line', () => {
  const written = new Written('one\nlet total = 0\nthree\n')
  written.replace('total', 'sum')
  assert.deepEqual(written.latest, [{ before: 'let total = 0', after: 'let sum = 0' }])
})

test('neighbouring lines are one edit, others are several, the latest first', () => {
  const written = new Written('aa\nbb\ncc\ndd\nee\n')
  written.replace('bb', 'B')
  written.replace('aa', 'A')
  written.replace('ee', 'E')
  assert.deepEqual(written.latest, [
    { before: 'ee', after: 'E' },
    { before: 'aa\nbb', after: 'A\nB' },
  ])
})

test('lines that stay the same at both ends are no part of it', () => {
  const written = new Written('aa\nbb\ncc\n\nee')
  written.replace('aa\nbb\ncc', 'aa\nB\ncc')
  assert.deepEqual(written.latest, [{ before: 'bb', after: 'B' }])
})

test('what was taken back is no edit, and neither is what was only added', () => {
  const written = new Written('\n\nbb\n')
  written.replace('bb', 'B')
  written.replace('B', 'bb')
  assert.deepEqual(written.latest, [])
  written.replace('', 'new')
  assert.deepEqual(written.latest, [])
})

test('an edit of many lines is none; the one before it stays', () => {
  const written = new Written(`let a = 1\n\n${'line\n'.repeat(40)}`)
  written.replace('let a', 'let b')
  written.replace('line\n'.repeat(30), '')
  assert.deepEqual(written.latest, [{ before: 'let a = 1', after: 'let b = 1' }])
})

test('line ends of two characters, and edits in two documents', () => {
  const written = new Written('aa\r\nbb\r\ncc')
  written.replace('bb', 'B')
  written.replace('cc', 'C', 'file:///b.ts')
  assert.deepEqual(written.latest, [
    { before: 'cc', after: 'C' },
    { before: 'bb', after: 'B' },
  ])
})
