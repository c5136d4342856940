import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { VtScreen } from '../../test/helpers/vt-screen.ts'
import { LiveText } from './live-text.ts'
import { graphemeWidth } from './width.ts'

const width = (character: string) => graphemeWidth(character).parts[0] ?? 0

/** Runs updates [committed, tail] on a fresh screen. */
function show(columns: number, rows: number, updates: readonly (readonly [string, string])[], finish = false) {
  const screen = new VtScreen(columns, rows, width)
  const live = new LiveText(screen)
  for (const [committed, tail] of updates) live.update(committed, tail)
  if (finish) live.finish()
  return screen
}

/** What a terminal shows for text that was simply written to it. */
function written(columns: number, rows: number, text: string): string[] {
  const screen = new VtScreen(columns, rows, width)
  screen.write(text)
  return screen.lines()
}

describe('LiveText', () => {
  it('shows the tail dim behind the committed text and overwrites it in place', () => {
    const screen = show(20, 4, [
      ['Hello', ' world'],
      ['', ' there, friend'],
    ])
    assert.deepEqual(screen.lines('plain'), ['Hello'])
    assert.deepEqual(screen.lines(), ['Hello there, friend'])
  })

  it('turns a confirmed tail into plain text', () => {
    const screen = show(20, 4, [
      ['Hello', ' world'],
      [' world', ''],
    ])
    assert.deepEqual(screen.lines('plain'), ['Hello world'])
    assert.deepEqual(screen.lines('dim'), [])
  })

  it('takes back a tail that wraps over several rows', () => {
    const screen = show(10, 6, [
      ['abc', 'defghijklmnopqrstuvwxyz'],
      ['X', ''],
    ])
    assert.deepEqual(screen.lines(), ['abcX'])
  })

  it('takes back a tail with newlines at the bottom of the screen', () => {
    const screen = show(10, 3, [
      ['1\n2\n3\n4', 'a\nb\nc'],
      ['!', ''],
    ])
    assert.deepEqual(screen.lines(), ['1', '2', '3', '4!'])
  })

  it('keeps the last character of a committed row that is exactly full', () => {
    for (const committed of ['0123456789', '01234567漢', 'a\n0123456789', '0123456789\n0123456789']) {
      const screen = show(10, 4, [
        [committed, 'tail'],
        ['', ''],
        ['', 'again'],
        ['Z', ''],
      ])
      assert.deepEqual(screen.lines(), written(10, 4, `${committed}Z`))
    }
  })

  it('cuts a tail longer than the screen with an ellipsis and shows it whole once committed', () => {
    const tail = Array.from({ length: 30 }, (_, line) => `line ${line}\n`).join('')
    const cut = show(12, 5, [['start ', tail]])
    assert.deepEqual(cut.lines('plain'), ['start'])
    assert.equal(cut.lines().length, 5)
    assert.match(cut.lines().at(-1) ?? '', /…$/)
    const committed = show(12, 5, [
      ['start ', tail],
      [tail, ''],
    ])
    assert.deepEqual(committed.lines(), written(12, 5, `start ${tail}`))
  })

  it('shows no tail on a line whose width is uncertain, and again on the next', () => {
    const family = '👩\u{200d}👩\u{200d}👧'
    assert.deepEqual(show(40, 4, [[`x ${family}`, ' guess']]).lines('dim'), [])
    assert.deepEqual(show(40, 4, [[`x ${family}\nnext`, ' guess']]).lines('dim'), ['', '     guess'])
  })

  it('lets no control sequence of the model reach the terminal, and shows it instead', () => {
    const screen = show(60, 4, [['a\u{1b}[2Jb\u{9b}c\u{7}d', '\u{1b}]0;title\u{7}']])
    assert.deepEqual(screen.lines('plain'), ['a␛[2Jb\u{fffd}c␇d'])
  })

  it('expands tabs to multiples of eight', () => {
    assert.deepEqual(show(40, 4, [['ab\tc\n\td', '\te']]).lines(), ['ab      c', '        d       e'])
  })

  it('ends the line on finish, and only when it is not empty', () => {
    assert.deepEqual(show(20, 4, [['abc', 'tail']], true).cursor, { row: 1, column: 0 })
    assert.deepEqual(show(20, 4, [['abc\n', 'tail']], true).cursor, { row: 1, column: 0 })
  })

  it('draws the tail again after a resize', () => {
    const out = { columns: 20, rows: 5, text: '', write: (text: string) => (out.text += text) }
    const live = new LiveText(out)
    live.update('committed', ' tail')
    out.columns = 11
    out.text = ''
    live.resize()
    const screen = new VtScreen(11, 5, width)
    screen.write(`committed${out.text}`)
    assert.deepEqual(screen.lines('plain'), ['committed'])
    assert.deepEqual(screen.lines(), ['committed t', 'ail'])
  })

  const unit = fc.constantFrom(
    'a',
    'b',
    ' ',
    ' ',
    '.',
    '\n',
    '漢',
    '字',
    'é',
    'e\u{301}',
    '😀',
    '한',
    '👩\u{200d}👧',
    '🇫🇷',
    '\t',
    '…',
  )
  const piece = fc.string({ unit, maxLength: 25 })
  const updates = fc.array(fc.tuple(piece, piece), { maxLength: 12 })

  it('after any updates the plain cells read exactly as if only committed text had been written', () => {
    fc.assert(
      fc.property(updates, fc.integer({ min: 2, max: 17 }), fc.integer({ min: 1, max: 6 }), (steps, columns, rows) => {
        const screen = show(columns, rows, steps)
        const committed = steps.map(([text]) => text).join('')
        // Tabs are counted from the line's beginning in both.
        const expected = new VtScreen(columns, rows, width)
        new LiveText(expected).update(committed, '')
        assert.deepEqual(screen.lines('plain'), expected.lines())
        assert.deepEqual(show(columns, rows, steps, true).lines(), expected.lines())
        assert.deepEqual(screen.cursor, expected.cursor)
      }),
      { numRuns: 400 },
    )
  })

  it('keeps committed text on a terminal that draws emoji sequences narrower', () => {
    const narrow = (character: string) => (/\p{Regional_Indicator}/u.test(character) ? 1 : width(character))
    fc.assert(
      fc.property(updates, fc.integer({ min: 2, max: 17 }), (steps, columns) => {
        const screen = new VtScreen(columns, 5, narrow)
        const live = new LiveText(screen)
        for (const [committed, tail] of steps) live.update(committed, tail)
        live.finish()
        const expected = new VtScreen(columns, 5, narrow)
        new LiveText(expected).update(steps.map(([text]) => text).join(''), '')
        assert.deepEqual(screen.lines(), expected.lines())
      }),
      { numRuns: 200 },
    )
  })
})
