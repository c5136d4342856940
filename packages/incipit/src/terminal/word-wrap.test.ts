import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WordWrap, wrapMarkdown } from './word-wrap.ts'

function wrapped(columns: number, pieces: Iterable<string>, enabled = true): string {
  const wrap = new WordWrap(columns, enabled)
  let settled = ''
  for (const piece of pieces) settled += wrap.push(piece)
  return settled + wrap.open
}

describe('WordWrap', () => {
  const cases: [string, number, string, string][] = [
    ['breaks lines between words', 10, 'one two three four', 'one two\nthree four'],
    ['fills a row to its last cell', 7, 'one two three', 'one two\nthree'],
    ['keeps spaces inside of a row, and drops those at its end', 9, 'a  b    cdefgh   \ni', 'a  b\ncdefgh\ni'],
    ['lets a long word begin a row', 9, 'see https://example.org/a now', 'see\nhttps://example.org/a now'],
    ['lets list items hang', 12, '- one two three\n1. four five six', '- one two\n  three\n1. four five\n   six'],
    ['does not leave the mark of an item alone', 9, '- abcdefghijk l', '- abcdefghijk l'],
    ['gives an indent up that leaves no room', 14, '      - one two', '      - one\ntwo'],
    [
      'leaves code as it is',
      8,
      'see it:\n```ts\nlet one = 2\n```\nthat is it',
      'see it:\n```ts\nlet one = 2\n```\nthat is\nit',
    ],
    ['knows the end of code', 8, '~~~~\n~~~\nlong line\n~~~~~ \nlong line', '~~~~\n~~~\nlong line\n~~~~~ \nlong\nline'],
    ['leaves indented code as it is', 8, '    let one = 2', '    let one = 2'],
    ['but not an item of an inner list', 18, '    - one two three', '    - one two\n      three'],
    ['leaves rows of tables as they are', 8, '| one | two |\n|--|--|', '| one | two |\n|--|--|'],
    ['breaks Chinese between characters', 9, '你好世界这是', '你好世界\n这是'],
    ['but not before a stop or behind a bracket', 9, '你好世界。这「是', '你好世\n界。这\n「是'],
    ['breaks Korean between words', 9, '안녕 세계 여러분', '안녕 세계\n여러분'],
    ['breaks behind a dash', 9, 'one two—three', 'one two—\nthree'],
    ['keeps an emoji of several in one piece', 7, 'abc 👩\u{200d}👧 x', 'abc\n👩\u{200d}👧 x'],
  ]
  for (const [name, columns, text, expected] of cases) {
    it(name, () => {
      assert.equal(wrapped(columns, [text]), expected)
      assert.equal(wrapped(columns, text), expected, 'character by character')
      assert.equal(wrapMarkdown(text, columns), expected, 'as a whole')
    })
  }

  it('breaks nothing when it is not enabled', () => {
    assert.equal(wrapped(5, ['one two', ' three'], false), 'one two three')
  })
})
