import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wrap } from './wrap.ts'

const cases: [string, number, string, string][] = [
  ['what fits stays', 10, 'one two', 'one two'],
  ['lines break between words', 8, 'one two three\nfour', 'one two\nthree\nfour'],
  ['what follows stands below the last column', 16, '/save  write it to a file', '/save  write it\n       to a file'],
  ['a column that leaves no room is given up', 12, '/policy [name]  what it is', '/policy [name]  what\n  it is'],
  ['an indented line keeps its place', 9, '  one two three', '  one two\n  three'],
  ['a long word stays whole', 5, 'a abcdefghi b', 'a\nabcdefghi\nb'],
  ['wide characters count twice', 6, '日本 語だ', '日本\n語だ'],
]
for (const [name, columns, text, expected] of cases) test(name, () => assert.equal(wrap(text, columns), expected))
